// The right-hand panel: what the model says of the frame on screen, and the button that asks it.

import { isUncertain } from './points.js';

/** Build the panel in a node and keep it up to date; returns the function that ends that. */
export function mountPanel(root, session) {
  const panel = element('div', 'tavr-panel');
  const parts = {
    head: element('div', 'tavr-head'),
    action: element('div', 'tavr-action'),
    timeline: element('div', 'tavr-timeline'),
    groups: element('div', 'tavr-groups'),
  };
  panel.append(parts.head, parts.action, parts.timeline, parts.groups, legend());
  root.replaceChildren(panel);
  const draw = () => {
    drawHead(parts.head, session);
    drawAction(parts.action, session);
    drawTimeline(parts.timeline, session);
    drawGroups(parts.groups, session);
  };
  draw();
  return session.onChange(draw);
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function drawHead(node, { model, image, frame }) {
  const words = {
    loading: ['wait', 'Model is loading …'],
    ready: model.problem ? ['bad', 'No model'] : ['good', `Model ${model.version ?? ''}`],
    failed: ['bad', 'No model'],
  }[model.state];
  const chip = element('span', `tavr-chip ${words[0]}`, words[1]);
  const place = element('span', 'tavr-frame', image ? `Frame ${frame + 1} / ${image.frames.length}` : '');
  node.replaceChildren(place, chip);
}

function drawAction(node, session) {
  const { job, model, message, image } = session;
  const button = element('button', 'tavr-predict', job ? 'Stop' : 'Predict series');
  button.type = 'button';
  button.dataset.tavr = job ? 'stop' : 'predict';
  button.classList.toggle('running', Boolean(job));
  button.disabled = !job && (model.state !== 'ready' || Boolean(model.problem) || !image);
  button.onclick = () => (job ? session.cancel() : session.predictSeries());
  const rest = [];
  if (job) rest.push(progress(job));
  const trouble = model.problem ?? (message?.kind === 'error' ? message.text : null);
  if (trouble) rest.push(note('error', trouble));
  else if (message) rest.push(note('done', message.text));
  else if (model.state === 'ready' && !image) rest.push(note('done', 'Keypoints are predicted on X-ray angiography (XA, RF) only.'));
  const focused = node.contains(document.activeElement);
  node.replaceChildren(button, ...rest);
  if (focused) button.focus();
}

function note(kind, text) {
  const node = element('p', `tavr-note ${kind}`, text);
  node.setAttribute('role', kind === 'error' ? 'alert' : 'status');
  return node;
}

function progress({ done, total }) {
  const node = element('div', 'tavr-progress');
  const bar = element('div', 'tavr-bar');
  bar.style.width = `${(100 * done) / total}%`;
  const track = element('div', 'tavr-track');
  track.append(bar);
  node.append(track, element('span', '', `${done} of ${total} frames`));
  return node;
}

// one row per group, one cell per frame: where the group was found, and how surely
function drawTimeline(node, session) {
  const { schema, image, points, frame } = session;
  node.hidden = !schema || !image || image.frames.length < 2 || points.count(image.id) === 0;
  if (node.hidden) return;
  node.onclick = event => {
    const wanted = event.target.dataset.frame;
    if (wanted !== undefined) session.show(Number(wanted));
  };
  node.replaceChildren(...schema.groups.map(group => timelineRow(group, image, points, frame)));
}

function timelineRow(group, image, points, frame) {
  const row = element('div', 'tavr-row');
  row.title = group.title;
  for (let f = 0; f < image.frames.length; f++) {
    const found = points.frame(image.id, f);
    const visible = found ? group.points.filter(name => found[name]?.state === 'visible').length : 0;
    const cell = element('i', f === frame ? 'current' : '');
    if (found) cell.style.background = visible ? group.color : 'rgba(255,255,255,0.08)';
    cell.style.opacity = visible ? 0.35 + (0.65 * visible) / group.points.length : 1;
    cell.dataset.frame = f;
    row.append(cell);
  }
  return row;
}

function drawGroups(node, { schema, currentPoints, uncertainBelow }) {
  if (!schema) {
    node.replaceChildren();
    return;
  }
  node.replaceChildren(...schema.groups.map(group => groupCard(group, schema, currentPoints, uncertainBelow)));
}

function groupCard(group, schema, points, uncertainBelow) {
  const card = element('section', 'tavr-group');
  card.style.setProperty('--group', group.color);
  const visible = group.points.filter(name => points?.[name]?.state === 'visible').length;
  const count = points ? `${visible} of ${group.points.length}` : '';
  const title = element('h3', '', group.title);
  title.append(element('span', '', count));
  card.append(title, ...group.points.map(name => pointRow(name, points?.[name], schema, uncertainBelow)));
  return card;
}

function pointRow(name, point, schema, uncertainBelow) {
  const state = point?.state ?? 'unlabelled';
  const row = element('div', `tavr-point ${state}`);
  row.classList.toggle('uncertain', Boolean(point) && isUncertain(point, uncertainBelow));
  row.title = schema.descriptions[name] ?? name;
  row.dataset.point = name;
  row.dataset.state = state;
  const meter = element('span', 'tavr-meter');
  const level = element('span', '');
  level.style.width = `${100 * (point?.score ?? 0)}%`;
  meter.append(level);
  const score = point?.score === undefined ? '–' : point.score.toFixed(2);
  row.append(element('span', 'tavr-dot'), element('span', 'tavr-name', name), meter, element('span', 'tavr-score', score));
  return row;
}

function legend() {
  const node = element('div', 'tavr-legend');
  for (const [state, words] of [
    ['visible', 'found'],
    ['visible uncertain', 'uncertain'],
    ['absent', 'absent'],
  ]) {
    const item = element('span', `tavr-point ${state}`);
    item.append(element('span', 'tavr-dot'), words);
    node.append(item);
  }
  return node;
}
