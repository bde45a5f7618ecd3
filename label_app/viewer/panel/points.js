// One row per point: its state by symbol and in words, never by colour alone. A click chooses it; two small buttons take it away.

import { button, element, setText } from './element.js';
import { icon, shape } from './icons.js';
import { isUncertain } from '../document/points.js';
import { GROUP_KEYS } from '../session/commands.js';

export function buildPoints(session) {
  const node = element('div', { className: 'tavr-groups' });
  let schema = null;
  let cards = [];
  const update = () => {
    if (schema !== session.schema) {
      schema = session.schema;
      cards = (schema?.groups ?? []).map((group, index) => groupCard(session, group, index));
      node.replaceChildren(...cards.map(card => card.node));
    }
    for (const card of cards) card.update();
  };
  return { node, update };
}

function groupCard(session, group, index) {
  const count = element('span', { className: 'tavr-count' });
  const absent = button(
    {
      className: 'tavr-ghost',
      title: `${group.title}: the whole group is absent`,
      shortcut: 'Shift A',
      data: { tavr: 'group-absent', group: group.id },
      aria: { label: `${group.title}: mark the whole group absent` },
      onclick: () => session.edit.groupAbsent(group.id),
    },
    icon('absent'),
    element('span', { textContent: 'absent' })
  );
  const rows = group.points.map(name => pointRow(session, name, group));
  const keyed = index < GROUP_KEYS ? { title: `Key ${index + 1} goes through these points` } : {};
  const title = element('h3', keyed, group.title);
  const head = element('header', {}, shape(group.shape), title, count, absent);
  const node = element('section', { className: 'tavr-group', role: 'group', aria: { label: group.title } }, head);
  node.append(...rows.map(row => row.node));
  node.style.setProperty('--group', group.color);
  const update = () => {
    const points = session.document?.points(session.frame) ?? {};
    const known = group.points.filter(name => points[name]);
    const visible = known.filter(name => points[name].state === 'visible').length;
    setText(count, known.length ? `${visible} of ${group.points.length}` : '');
    absent.disabled = !session.document;
    for (const row of rows) row.update(points[row.name]);
  };
  return { node, update };
}

function pointRow(session, name, group) {
  const words = element('span', { className: 'tavr-state' });
  const level = element('span');
  const meter = element('span', { className: 'tavr-meter', aria: { hidden: true } }, level);
  const main = button(
    { className: 'tavr-choose', onclick: () => session.edit.choose(name) },
    shape(group.shape),
    element('span', { className: 'tavr-name', textContent: name }),
    meter,
    words
  );
  const small = (symbol, label, shortcut, id, onclick) =>
    button(
      { className: 'tavr-ghost', title: label, shortcut, aria: { label }, tabIndex: -1, data: { tavr: id }, onclick },
      icon(symbol)
    );
  const absent = small('absent', `${name} is absent`, 'A', 'absent', () => session.edit.absent(name));
  const remove = small('remove', `Delete ${name}: unlabelled again`, 'Del', 'delete', () => session.edit.remove(name));
  const node = element('div', { data: { point: name } }, main, absent, remove);
  const update = point => {
    const state = point?.state ?? 'unlabelled';
    const uncertain = Boolean(point) && !point.confirmed && isUncertain(point, session.uncertainBelow);
    const classes = [state, point?.confirmed ? 'confirmed' : 'suggested', uncertain && 'uncertain'];
    if (session.selected === name) classes.push('selected');
    if (session.armed === name) classes.push('armed');
    node.className = ['tavr-point', ...classes.filter(Boolean)].join(' ');
    node.dataset.state = state;
    level.style.width = point?.confirmed ? '0' : `${100 * (point?.score ?? 0)}%`;
    const text = stateWords(point, uncertain);
    setText(words, session.armed === name && !point ? 'click' : text);
    main.title = [session.schema.descriptions[name] ?? name, pointOrigin(point)].filter(Boolean).join('\n');
    main.setAttribute('aria-pressed', String(session.selected === name || session.armed === name));
    main.setAttribute('aria-label', `${name}: ${text}`);
    absent.disabled = !session.document || state === 'absent';
    remove.disabled = !point;
  };
  return { node, name, update };
}

const SUGGESTED = { tracked: 'tracked', interpolated: 'between', copied: 'copied' };

function stateWords(point, uncertain) {
  if (!point) return 'unlabelled';
  const absent = point.state === 'absent';
  if (point.confirmed && point.source === 'annotator') return absent ? '✓ absent' : '✓ placed';
  if (point.confirmed) return absent ? 'absent ✓ accepted' : '✓ accepted';
  const score = point.score ?? null;
  const from = SUGGESTED[point.how] ?? (score === null ? 'suggested' : score.toFixed(2));
  return `${absent ? 'absent ' : ''}${from}${uncertain ? ' ?' : ''}`;
}

function pointOrigin(point) {
  if (!point) return '';
  const who = point.author ? ` (${point.author})` : '';
  const place = point.state === 'visible' ? ` at ${point.x.toFixed(1)}, ${point.y.toFixed(1)}` : '';
  return `${point.source === 'model' ? 'Model' : 'Annotator'}${who}${place}`;
}
