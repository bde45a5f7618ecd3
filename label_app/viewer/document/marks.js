// What is drawn of the points of a frame, for whatever draws it.

import { isUncertain } from './points.js';

/**
 * @typedef {Object} Mark
 * @property {string} name
 * @property {number} x native pixels
 * @property {number} y
 * @property {string} color of the group, #rrggbb
 * @property {'circle'|'square'|'diamond'|'triangle'} shape of the group
 * @property {number} group index of the group
 * @property {?number} spread radius of the circle of uncertainty in native pixels; null where nobody knows, and once confirmed
 * @property {?number} score
 * @property {boolean} confirmed solid; otherwise dashed: a suggestion
 * @property {boolean} dimmed the model is not sure
 * @property {boolean} selected
 */

/** The visible points of a frame as Marks, in the order of the schema. */
export function marksOf(points, { schema, uncertainBelow, selected = null }) {
  return schema.names
    .filter(name => points[name]?.state === 'visible')
    .map(name => {
      const { x, y, score = null, spread = null, confirmed } = points[name];
      const group = schema.groupOf.get(name);
      return {
        ...{ name, x, y, score, confirmed, color: group.color, shape: group.shape, group: schema.groups.indexOf(group) },
        spread: confirmed ? null : spread,
        dimmed: !confirmed && isUncertain(points[name], uncertainBelow),
        selected: name === selected,
      };
    });
}

/** The mark nearest to (x, y) within reach, or null. */
export function nearest(marks, x, y, within) {
  const distances = marks.map(mark => ({ mark, distance: Math.hypot(mark.x - x, mark.y - y) }));
  const near = distances.filter(({ distance }) => distance <= within).sort((a, b) => a.distance - b.distance);
  return near[0]?.mark ?? null;
}
