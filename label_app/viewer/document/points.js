// The schema as the server sends it, what counts as uncertain, and the order in which frames are predicted.

// a group is known by its shape as well as by its colour: red and green look alike to one man in twelve
const SHAPES = ['circle', 'square', 'diamond', 'triangle'];

/** The stage that every schema has: nothing is stated, and all groups can be there. */
const ANY_STAGE = { id: 'any', title: 'Any stage', groups: null };

/** A schema as the server sends it, with what the viewer looks up in it. */
export class Schema {
  constructor(content) {
    this.name = content.name;
    this.groups = Object.entries(content.groups).map(([id, group], index) => ({
      id,
      title: group.title ?? id,
      color: group.color ?? '#ffd54f',
      shape: SHAPES[index % SHAPES.length],
      points: group.points,
    }));
    /** Stages of the procedure, and the groups that can be there; null: all. The model obeys. */
    this.stages = [ANY_STAGE, ...(content.stages ?? [])];
    this.skeleton = content.skeleton ?? [];
    this.descriptions = content.descriptions ?? {};
    this.names = this.groups.flatMap(group => group.points);
    this.groupOf = new Map(this.groups.flatMap(group => group.points.map(name => [name, group])));
  }

  /** The names in order, beginning behind one of them and ending with it. */
  namesAfter(name) {
    const start = this.names.indexOf(name) + 1;
    return [...this.names.slice(start), ...this.names.slice(0, start)];
  }
}

/** Whether the model is not sure of a point, in either direction. */
export function isUncertain(point, uncertainBelow) {
  if (point.score === undefined || point.score === null) return false;
  return point.state === 'visible' ? point.score < uncertainBelow : point.score > 1 - uncertainBelow;
}

/** Frames in the order to predict them: in portions, beginning with the one that holds the frame on screen. */
export function portions(numberOfFrames, current, size) {
  const starts = [];
  for (let start = 0; start < numberOfFrames; start += size) starts.push(start);
  const first = Math.floor(Math.min(Math.max(current, 0), numberOfFrames - 1) / size);
  const order = [...starts.slice(first), ...starts.slice(0, first)];
  return order.map(start => Array.from({ length: Math.min(size, numberOfFrames - start) }, (_, i) => start + i));
}
