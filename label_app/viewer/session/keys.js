// The keyboard. Keys that mean something here are kept from the page (OHIF has keys of its own); all others pass.

import { COMMANDS } from './commands.js';

const TYPING = 'input:not([type=range]):not([type=checkbox]):not([type=button]), textarea, select, [contenteditable]';
const PRESSING = 'button, a[href], summary, [role=button]'; // Enter belongs to what has the focus
const SLIDING = /^(Arrow|Home|End|Page)/; // a slider that has the focus goes by these itself

/** A KeyboardEvent as the commands name it: 'Ctrl+Shift+Z', 'Shift+ArrowLeft', 'a', '?'. */
export function keyOf(event) {
  const letter = /^[a-z]$/i.test(event.key);
  const key = letter ? (event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase()) : event.key;
  if (event.getModifierState('AltGraph')) return key; // on many keyboards '[' takes it
  const shift = event.shiftKey && (letter || event.key.length > 1); // '?' is a shifted key already
  return `${event.ctrlKey || event.metaKey ? 'Ctrl+' : ''}${shift ? 'Shift+' : ''}${key}`;
}

/** Let the keys of a window work on a session. Returns the function that ends it. */
export function bindKeys(target, session) {
  const onKey = event => {
    if ((event.altKey && !event.getModifierState('AltGraph')) || event.isComposing) return;
    if (event.target.closest?.('dialog, [role=dialog]')) return;
    const key = keyOf(event);
    if (key !== 'Ctrl+s' && event.target.closest?.(TYPING)) return;
    if (/^(Shift\+)?Enter$|^ $/.test(key) && event.target.closest?.(PRESSING)) return;
    if (SLIDING.test(key) && event.target.closest?.('[role=slider]')) return;
    const candidates = COMMANDS.filter(({ keys }) => keys.includes(key));
    const command = candidates.find(({ when }) => when(session));
    if (!candidates.length || (key === 'Escape' && !command)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (command && (!event.repeat || command.repeats)) command.run(session);
  };
  target.addEventListener('keydown', onKey, true);
  return () => target.removeEventListener('keydown', onKey, true);
}
