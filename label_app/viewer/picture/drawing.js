// How marks look (see marks.js), in OHIF and on the plain page alike: one SVG group, redrawn from the marks it is given.
//
// A ring and its name stand for a point; the ring's shape tells the groups apart without their colours. Dashed: a suggestion; solid:
// a person stands for it; dimmed: the model is not sure. The thin circle around it is the model's spread, in pixels of the image.

const SVG = 'http://www.w3.org/2000/svg';
const RADIUS = 7;
const DIMMED = 0.5;
const SPREAD_FROM = 1.6; // a spread below so many ring radii on the screen says nothing that the ring does not
const FONT = 13;
const LETTER = 7.7; // width of a bold letter at that size
const RINGS = {
  circle: `M${RADIUS} 0A${RADIUS} ${RADIUS} 0 1 1 -${RADIUS} 0A${RADIUS} ${RADIUS} 0 1 1 ${RADIUS} 0Z`,
  square: 'M-6.2 -6.2H6.2V6.2H-6.2Z',
  diamond: 'M0 -8.8L8.8 0L0 8.8L-8.8 0Z',
  triangle: 'M0 -8.8L8.4 6.2H-8.4Z',
};

/**
 * Draw the marks of a frame.
 * @param {SVGGElement} root what was drawn in it before is taken over, point by point
 * @param {{frame: number, marks: Array, skeleton: Array<string[]>, toScreen: function(number, number): number[], scale: number,
 *   hovered: ?string}} scene `toScreen`: native pixels -> the group's units; `scale`: its units per native pixel
 */
export function drawMarks(root, scene) {
  const places = new Map(scene.marks.map(({ name, x, y }) => [name, scene.toScreen(x, y)]));
  const labels = placeLabels(scene.marks, places, scene.hovered);
  const used = new Set();
  const colors = new Map(scene.marks.map(({ name, color }) => [name, color]));
  for (const [from, to] of scene.skeleton) {
    if (places.has(from) && places.has(to)) drawEdge(root, used, `${from} ${to}`, places.get(from), places.get(to), colors.get(from));
  }
  for (const mark of scene.marks) drawMark(root, used, scene, { mark, place: places.get(mark.name), label: labels.get(mark.name) });
  for (const node of [...root.children]) if (!used.has(node)) node.remove();
  set(root, { 'data-tavr-frame': scene.frame });
}

function drawEdge(root, used, names, [x1, y1], [x2, y2], color) {
  const line = keyed(root, used, `edge ${names}`, () => {
    const made = make('line', { 'stroke-opacity': 0.5, 'stroke-width': 1.5, 'stroke-dasharray': '2 4', 'data-tavr-edge': names });
    root.prepend(made);
    return made;
  });
  set(line, { x1, y1, x2, y2, stroke: color });
}

function drawMark(root, used, { scale, hovered }, { mark, place: [x, y], label }) {
  const { name, color, shape, confirmed, dimmed, selected } = mark;
  const node = keyed(root, used, `point ${name}`, () => {
    const made = makeMark();
    root.append(made);
    return made;
  });
  const look = [confirmed ? 'confirmed' : 'suggested', dimmed && 'dimmed', selected && 'selected'].filter(Boolean);
  set(node, {
    transform: `translate(${x} ${y})`,
    opacity: dimmed && !selected ? DIMMED : 1,
    'data-tavr-point': name,
    'data-look': look.join(' '),
    color,
  });
  const [selection, spread, halo, ring, , text] = node.children;
  const reach = (mark.spread ?? 0) * scale;
  set(selection, { visibility: selected ? 'visible' : 'hidden' });
  set(spread, { r: reach, visibility: reach > SPREAD_FROM * RADIUS ? 'visible' : 'hidden' });
  set(halo, { d: RINGS[shape] ?? RINGS.circle, 'stroke-opacity': name === hovered ? 0.9 : 0.6 });
  set(ring, {
    d: RINGS[shape] ?? RINGS.circle,
    'stroke-dasharray': confirmed ? 'none' : '4.2 3.13',
    'stroke-width': name === hovered ? 2.8 : 2,
  });
  set(text, { x: label.dx, y: label.dy, 'text-anchor': label.anchor });
  if (text.textContent !== label.words) text.textContent = label.words;
  if ((selected || name === hovered) && node !== root.lastChild) root.append(node); // on top
}

function makeMark() {
  const node = document.createElementNS(SVG, 'g');
  node.append(
    make('circle', { r: RADIUS + 6, fill: 'none', stroke: '#fff', 'stroke-width': 1.5, 'data-part': 'selection' }),
    make('circle', { fill: 'currentColor', 'fill-opacity': 0.08, stroke: 'currentColor', 'stroke-opacity': 0.7, 'data-part': 'spread' }),
    make('path', { fill: 'none', stroke: '#000', 'stroke-width': 4.5, 'data-part': 'halo' }),
    make('path', { fill: 'none', stroke: 'currentColor', 'data-part': 'ring' }),
    make('circle', { r: 1.5, fill: 'currentColor', stroke: '#000', 'stroke-opacity': 0.5, 'stroke-width': 0.6, 'data-part': 'centre' }),
    make('text', {
      fill: 'currentColor',
      stroke: '#000',
      'stroke-opacity': 0.75,
      'stroke-width': 3,
      'paint-order': 'stroke',
      'font-size': FONT,
      'font-weight': 600,
      'font-family': "Inter, system-ui, 'DejaVu Sans', sans-serif",
    })
  );
  return node;
}

// beside the point, where no other point or name is: right of it if that is free
function placeLabels(marks, places, hovered) {
  const taken = [...places.values()].map(([x, y]) => box(x - RADIUS, y - RADIUS, 2 * RADIUS, 2 * RADIUS));
  const labels = new Map();
  for (const { name, score, selected } of marks) {
    const words = (name === hovered || selected) && score !== null ? `${name} ${score.toFixed(2)}` : name;
    const [x, y] = places.get(name);
    const width = name.length * LETTER; // not that of the words: a name must not jump when the pointer comes near
    const right = { dx: RADIUS + 6, dy: 4.5, anchor: 'start' };
    const left = { dx: -RADIUS - 6, dy: 4.5, anchor: 'end' };
    const above = { dx: 0, dy: -RADIUS - 8, anchor: 'middle' };
    const below = { dx: 0, dy: RADIUS + 17, anchor: 'middle' };
    const boxes = [right, left, above, below].map(spot => ({ spot, area: area(x, y, width, spot) }));
    const free = boxes.find(({ area }) => !taken.some(other => overlap(area, other))) ?? boxes[0];
    taken.push(free.area);
    labels.set(name, { ...free.spot, words });
  }
  return labels;
}

const box = (left, top, width, height) => ({ left, top, right: left + width, bottom: top + height });
const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
function area(x, y, width, { dx, dy, anchor }) {
  const shift = { start: 0, middle: width / 2, end: width }[anchor];
  return box(x + dx - shift, y + dy - FONT + 2, width, FONT);
}

function keyed(root, used, key, create) {
  let node = [...root.children].find(child => child.tavrKey === key);
  if (!node) {
    node = create();
    node.tavrKey = key;
  }
  used.add(node);
  return node;
}

function make(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  set(node, attributes);
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
}
