// Keys for the picture itself, so that nothing needs a mouse: the same in OHIF and on the plain page. Other keys: keys.js.

const ZOOM = 1.25;
const PAN = 40; // CSS pixels
const LEVELS = 1.15;
const ELSEWHERE = 'input, select, textarea, button, a, summary, [contenteditable], [role=dialog], dialog';

/**
 * @typedef {Object} Picture
 * @property {function()} cine plays, or stops
 * @property {function()} invert
 * @property {function()} reset
 * @property {function(number)} zoom by a factor, about the middle
 * @property {function(number, number)} pan by CSS pixels
 * @property {function(number, number)} window multiplies contrast and brightness
 */
const KEYS = {
  c: picture => picture.cine(),
  i: picture => picture.invert(),
  ' ': picture => picture.reset(),
  '+': picture => picture.zoom(ZOOM),
  '=': picture => picture.zoom(ZOOM),
  '-': picture => picture.zoom(1 / ZOOM),
  k: picture => picture.window(LEVELS, 1),
  K: picture => picture.window(1 / LEVELS, 1),
  b: picture => picture.window(1, LEVELS),
  B: picture => picture.window(1, 1 / LEVELS),
  'Ctrl+ArrowLeft': picture => picture.pan(PAN, 0),
  'Ctrl+ArrowRight': picture => picture.pan(-PAN, 0),
  'Ctrl+ArrowUp': picture => picture.pan(0, PAN),
  'Ctrl+ArrowDown': picture => picture.pan(0, -PAN),
};

/** Let the keys of a window work on a Picture; returns the function that ends it. */
export function bindPictureKeys(target, picture) {
  const onKey = event => {
    if (event.altKey || event.isComposing || event.target.closest?.(ELSEWHERE)) return;
    const run = KEYS[`${event.ctrlKey || event.metaKey ? 'Ctrl+' : ''}${event.key}`];
    if (!run) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    run(picture);
  };
  target.addEventListener('keydown', onKey, true);
  return () => target.removeEventListener('keydown', onKey, true);
}
