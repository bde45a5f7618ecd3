// The frames of the cine as a strip: what is labelled, edited, suggested, unsure, and where each group is.

import { element, setText } from './element.js';

const WORDS = {
  empty: 'nothing',
  predicted: 'predicted, not accepted',
  tracked: 'tracked or interpolated, not accepted',
  edited: 'edited, not submitted',
  labelled: 'labelled',
};

export function buildSlider(session) {
  const strip = element('div', { className: 'tavr-timeline', role: 'slider', tabIndex: 0, aria: { label: 'Frame', valuemin: 1 } });
  const node = element('div', { className: 'tavr-slider' }, strip, legend());
  const goTo = event => {
    const { left, width } = strip.getBoundingClientRect();
    const frame = Math.floor(((event.clientX - left) / width) * session.frameCount);
    const wanted = Math.min(Math.max(frame, 0), session.frameCount - 1);
    if (wanted !== session.frame) session.show(wanted);
  };
  strip.onpointerdown = event => {
    strip.setPointerCapture(event.pointerId);
    goTo(event);
  };
  strip.onpointermove = event => {
    if (strip.hasPointerCapture(event.pointerId)) goTo(event);
  };
  strip.onkeydown = event => {
    const { frame, frameCount } = session;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -frameCount, End: frameCount };
    const goal = event.key in steps ? frame + steps[event.key] : undefined;
    if (goal === undefined) return;
    event.preventDefault();
    session.show(goal);
  };
  let built = null;
  let cells = [];
  const update = () => {
    const { image, schema, document, frame, frameCount } = session;
    node.hidden = !image || frameCount < 2;
    if (node.hidden) return;
    if (built !== `${image.id} ${schema?.name}`) {
      built = `${image.id} ${schema?.name}`;
      cells = buildCells(strip, frameCount, schema);
    }
    for (let f = 0; f < frameCount; f++) paint(cells[f], f, session);
    strip.setAttribute('aria-valuemax', frameCount);
    strip.setAttribute('aria-valuenow', frame + 1);
    strip.setAttribute('aria-valuetext', `Frame ${frame + 1} of ${frameCount}: ${WORDS[document?.status(frame) ?? 'empty']}`);
    strip.style.setProperty('--place', `${(100 * (frame + 0.5)) / frameCount}%`);
  };
  return { node, update };
}

// a row for the state and one per group, a cell per frame
function buildCells(strip, frameCount, schema) {
  const lanes = ['status', ...(schema?.groups ?? []).map(group => group.id)];
  const rows = lanes.map(lane => element('div', { className: 'tavr-lane', data: { lane } }));
  const cells = Array.from({ length: frameCount }, (_, frame) => rows.map(() => element('i', { data: { frame } })));
  rows.forEach((row, index) => row.append(...cells.map(cell => cell[index])));
  strip.replaceChildren(...rows, element('span', { className: 'tavr-place' }));
  return cells;
}

function paint([status, ...groups], frame, session) {
  const { document, schema } = session;
  const points = document?.points(frame) ?? {};
  const looks = `${document?.status(frame) ?? 'empty'}${session.isUncertain(frame) ? ' uncertain' : ''}`;
  if (status.className !== looks) {
    status.className = looks;
    const unsure = looks.endsWith('uncertain') ? ', the model is unsure' : '';
    status.title = `Frame ${frame + 1}: ${WORDS[document?.status(frame) ?? 'empty']}${unsure}`;
  }
  groups.forEach((cell, index) => {
    const group = schema.groups[index];
    const there = group.points.filter(name => points[name]?.state === 'visible').length;
    const known = group.points.some(name => points[name]);
    cell.style.background = there ? group.color : known ? '#ffffff1c' : '';
    cell.style.opacity = there ? 0.35 + (0.65 * there) / group.points.length : '';
  });
}

function legend() {
  const node = element('div', { className: 'tavr-legend', aria: { hidden: true } });
  for (const [look, words] of [
    ['labelled', 'labelled'],
    ['edited', 'edited'],
    ['predicted', 'suggested'],
    ['predicted uncertain', 'unsure'],
  ]) {
    const sample = element('i', { className: look });
    const item = element('span', {}, sample);
    setText(item.appendChild(element('span')), words);
    node.append(item);
  }
  return node;
}
