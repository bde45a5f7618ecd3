// Points between two labelled frames, on a straight line. Where the two disagree whether a point is there, it is left out.

/**
 * @param {{frame: number, points: Object}} from
 * @param {{frame: number, points: Object}} to a later frame
 * @returns {Map<number, Object>} frame -> {name: {state, x, y}} of the frames strictly between
 */
export function interpolated(from, to) {
  const frames = new Map();
  for (let frame = from.frame + 1; frame < to.frame; frame++) {
    const share = (frame - from.frame) / (to.frame - from.frame);
    const points = {};
    for (const [name, a] of Object.entries(from.points)) {
      const b = to.points[name];
      if (!b || a.state !== b.state) continue;
      const place = { state: 'visible', x: mix(a.x, b.x, share), y: mix(a.y, b.y, share) };
      points[name] = a.state === 'absent' ? { state: 'absent' } : place;
    }
    frames.set(frame, points);
  }
  return frames;
}

const mix = (a, b, share) => a + (b - a) * share;
