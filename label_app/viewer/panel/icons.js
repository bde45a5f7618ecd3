// The panel's icons, 16 x 16, drawn with the colour of the text beside them.

const SVG = 'http://www.w3.org/2000/svg';
const PATHS = {
  next: 'M2.5 8h9M8 4l4 4-4 4M14 3v10',
  submit: 'M8 11V2.5M4.5 6 8 2.5 11.5 6M2.5 10.5v3h11v-3',
  predict: 'M8 2v3M8 11v3M2 8h3M11 8h3M8 6.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3',
  series: 'M2 4.5h12M2 11.5h12M4 4.5v7M8 4.5v7M12 4.5v7',
  accept: 'M2.5 8.5 6.5 12.5 13.5 4',
  'accept-all': 'M1 8.5 4.5 12 10.5 4.5M7 11l1 1 6.5-7.5',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  track: 'M2 12c2.5-7 4-7 6-4s3.5 3 6-4M2 12v.1M14 4v.1',
  interpolate: 'M2.5 12.5 13.5 3.5M2.5 12.5v.1M8 8v.1M13.5 3.5v.1',
  undo: 'M5.5 3 2.5 6l3 3M2.5 6h7a4 4 0 0 1 0 8H6',
  redo: 'M10.5 3l3 3-3 3M13.5 6h-7a4 4 0 0 0 0 8H10',
  hide: 'M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8M8 6a2 2 0 1 0 0 4 2 2 0 0 0 0-4',
  absent: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M4 12 12 4',
  remove: 'M4 4l8 8M12 4l-8 8',
  stop: 'M4 4h8v8H4z',
  help: 'M5.5 6a2.5 2.5 0 1 1 3.5 2.3c-.7.4-1 .9-1 1.7M8 12.6v.1',
};
// of the groups, filled where a point is there: see SHAPES in points.js
const SHAPES = {
  circle: 'M8 3.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9Z',
  square: 'M4 4h8v8H4Z',
  diamond: 'M8 2.5 13.5 8 8 13.5 2.5 8Z',
  triangle: 'M8 3 13.5 12.5h-11Z',
};

function drawing(path, className) {
  const node = document.createElementNS(SVG, 'svg');
  node.setAttribute('viewBox', '0 0 16 16');
  node.setAttribute('class', className);
  node.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', path);
  node.append(line);
  return node;
}

/** An icon by name. */
export function icon(name) {
  return drawing(PATHS[name], 'tavr-icon');
}

/** The shape of a group. */
export function shape(name) {
  return drawing(SHAPES[name], 'tavr-shape');
}
