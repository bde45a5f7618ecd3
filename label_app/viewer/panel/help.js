// The keys, all of them, made from the list that the keyboard works by.

import { COMMANDS, keyWords } from '../session/commands.js';
import { element } from './element.js';

// the page's own: OHIF and the plain page bind them
const PICTURE = [
  ['C', 'Play the cine, or stop it'],
  ['I', 'Invert the grey levels'],
  ['Space', 'Reset the view'],
  ['+', 'Zoom in; - zooms out'],
  ['Ctrl ← → ↑ ↓', 'Pan'],
  ['K', 'More contrast; Shift K less'],
  ['B', 'Brighter; Shift B darker'],
  ['Drag', 'Window and level; right button zooms, middle button pans, wheel goes through the frames'],
  ['Click', 'Place the armed point, or choose the point there'],
  ['Drag a point', 'Move it'],
  ['Right click', 'Delete the point there'],
];

export function buildHelp(session) {
  const close = element('button', { type: 'button', textContent: 'Close', onclick: () => session.toggleHelp() });
  const node = element('dialog', { className: 'tavr-help', aria: { label: 'Keys' } });
  const head = element('header', {}, element('h2', { textContent: 'Keys' }), close);
  node.append(head, element('div', { className: 'tavr-help-parts' }, ...parts()));
  node.onclose = () => session.helpOpen && session.toggleHelp();
  node.onkeydown = event => {
    if (event.key === '?') session.toggleHelp();
    event.stopPropagation();
  };
  const update = () => {
    if (session.helpOpen && !node.open) node.showModal();
    if (!session.helpOpen && node.open) node.close();
  };
  return { node, update };
}

function parts() {
  const names = [...new Set(COMMANDS.map(({ part }) => part))];
  const sections = names.map(name => [name, rowsOf(COMMANDS.filter(({ part }) => part === name))]);
  return [...sections, ['Picture', PICTURE]].map(([name, rows]) =>
    element('section', {}, element('h3', { textContent: name }), element('dl', {}, ...rows.map(pair)))
  );
}

// of a command's keys the first; the four arrows share a row
function rowsOf(commands) {
  const rows = new Map();
  for (const { title, keys } of commands) rows.set(title, [...(rows.get(title) ?? []), keyWords(keys[0])]);
  const joined = ([first, ...others]) => [first, ...others.map(key => key.replace('Shift ', ''))].join(' ');
  return [...rows].map(([title, keys]) => [joined(keys), title]);
}

const pair = ([keys, title]) =>
  element('div', {}, element('dt', {}, element('kbd', { textContent: keys })), element('dd', { textContent: title }));
