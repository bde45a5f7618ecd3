// Between the label JSON of the server and the points of a document. A point that is missing is unlabelled; an absent one was
// looked for.

export const SCHEMA_ID = 'monai-tavr/keypoints/1';
const STATES = ['visible', 'absent'];

/**
 * A point of a document; frozen. `how` says where a suggestion comes from, `confirmed` that a person stands for it.
 * @typedef {{state: 'visible'|'absent', x?: number, y?: number, score?: number, spread?: number, source: 'model'|'annotator',
 *   author?: string, time?: string, confirmed: boolean, how?: 'predicted'|'tracked'|'interpolated'|'copied'}} Point
 */

/** Points by name of each frame of a label JSON, as Map frame -> {name: Point}. */
export function framesOf(label, marks = {}) {
  const frames = new Map();
  for (const { frame, points } of label?.frames ?? []) {
    const entries = Object.entries(points).map(([name, point]) => [name, pointOf(point, marks)]);
    if (entries.length) frames.set(frame, Object.freeze(Object.fromEntries(entries)));
  }
  return frames;
}

function pointOf(content, marks) {
  if (!STATES.includes(content.state)) throw new Error(`A point has the unknown state ${JSON.stringify(content.state)}.`);
  return Object.freeze({ source: 'model', confirmed: false, ...content, ...marks });
}

/** The label JSON of points by frame. What only a screen needs (spread, confirmed, how) stays behind. */
export function labelOf(frames, { schema, image }) {
  const sorted = [...frames].filter(([, points]) => Object.keys(points).length).sort(([a], [b]) => a - b);
  return {
    schema: SCHEMA_ID,
    keypoints: schema.name,
    image,
    frames: sorted.map(([frame, points]) => ({
      frame,
      points: Object.fromEntries(schema.names.filter(name => points[name]).map(name => [name, jsonOf(points[name])])),
    })),
  };
}

function jsonOf({ state, x, y, score, source, author, time }) {
  const point = state === 'visible' ? { x: round(x), y: round(y), state } : { state };
  for (const [key, value] of Object.entries({ score, source, author, time })) {
    if (value !== undefined && value !== null) point[key] = value;
  }
  return point;
}

const round = value => Math.round(value * 1000) / 1000;

/** Whether two frames say the same of every point, whoever said it; undefined counts as a frame without points. */
export function sameFrame(a = {}, b = {}) {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every(name => samePoint(a[name], b[name]));
}

/** Whether two points are at the same place to 0.001 px, or both absent. */
export function samePoint(a, b) {
  if (!a || !b || a.state !== b.state) return false;
  return a.state === 'absent' || (round(a.x) === round(b.x) && round(a.y) === round(b.y));
}
