// DOM without a framework: OHIF's React is not to be had from here.

import { commandOf, keyWords } from '../session/commands.js';
import { icon } from './icons.js';

/** An element with properties, `data` and `aria` attributes, and children (nodes or text). */
export function element(tag, { data = {}, aria = {}, role, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, data);
  for (const [name, value] of Object.entries(aria)) node.setAttribute(`aria-${name}`, value);
  if (role) node.setAttribute('role', role);
  node.append(...children);
  return node;
}

/** Set the text of a node, only where it differs: a screen reader speaks what is set. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A button that a click leaves without focus: Enter then still means "accept this frame". By Tab it has focus as any other. */
export function button({ title, shortcut, ...properties }, ...children) {
  const node = element('button', { type: 'button', ...properties }, ...children);
  if (title) node.title = shortcut ? `${title} (${shortcut})` : title;
  node.addEventListener('mousedown', event => event.preventDefault());
  return node;
}

/** The button of a command; `update` shows whether it can be done now. */
export function commandButton(session, id, { label = '', symbol = null, className = '' } = {}) {
  const { title, keys, run } = commandOf(id);
  const words = element('span', { textContent: label });
  const aria = label ? {} : { label: title };
  const node = button(
    { title, shortcut: keyWords(keys[0]), className, data: { tavr: id }, aria, onclick: () => run(session) },
    ...(symbol ? [icon(symbol)] : []),
    ...(label ? [words] : [])
  );
  const update = (newLabel = label) => {
    node.disabled = !commandOf(id).when(session);
    if (newLabel) setText(words, newLabel);
  };
  return { node, update };
}

/** A list to choose from, whose choices may change; a choice by mouse gives the focus back to the picture's keys. */
export function choice({ label, onChoose, data }) {
  const node = element('select', { title: label, aria: { label }, data });
  let byPointer = false;
  node.addEventListener('pointerdown', () => (byPointer = true));
  node.addEventListener('keydown', () => (byPointer = false)); // as a property, false would keep the key from the list
  node.onchange = () => {
    onChoose(node.value);
    if (byPointer) node.blur();
  };
  const update = (options, value) => {
    const wanted = JSON.stringify(options);
    if (node.dataset.options !== wanted) {
      node.replaceChildren(...options.map(([id, title]) => element('option', { value: id, textContent: title })));
      node.dataset.options = wanted;
    }
    node.value = value ?? '';
    node.disabled = !options.length;
  };
  return { node, update };
}
