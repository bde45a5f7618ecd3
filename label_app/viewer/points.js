// The points of the images, per frame, and what is drawn by the schema. Nothing here knows OHIF or the server.

/** A schema as the server sends it, with what the viewer looks up in it. */
export class Schema {
  constructor(content) {
    this.name = content.name;
    this.groups = Object.entries(content.groups).map(([id, group]) => ({
      id,
      title: group.title ?? id,
      color: group.color ?? '#ffd54f',
      points: group.points,
    }));
    this.skeleton = content.skeleton ?? [];
    this.descriptions = content.descriptions ?? {};
    this.names = this.groups.flatMap(group => group.points);
    this.groupOf = new Map(this.groups.flatMap(group => group.points.map(name => [name, group])));
  }

  colorOf(name) {
    return this.groupOf.get(name)?.color ?? '#ffd54f';
  }
}

/** Points by image and frame. A point is as in the label JSON; a missing name is unlabelled, a missing frame not predicted. */
export class PointStore {
  #images = new Map();
  #listeners = new Set();

  /** Take over the frames of a label JSON. */
  add(imageId, label) {
    if (!this.#images.has(imageId)) this.#images.set(imageId, new Map());
    const frames = this.#images.get(imageId);
    for (const { frame, points } of label.frames) frames.set(frame, points);
    this.#changed(imageId, label.frames.map(({ frame }) => frame));
  }

  /** Points of a frame by name, or null where nobody has looked. */
  frame(imageId, frame) {
    return this.#images.get(imageId)?.get(frame) ?? null;
  }

  /** Number of frames that have points. */
  count(imageId) {
    return this.#images.get(imageId)?.size ?? 0;
  }

  clear(imageId) {
    const frames = [...(this.#images.get(imageId)?.keys() ?? [])];
    this.#images.delete(imageId);
    this.#changed(imageId, frames);
  }

  /** Call back with (imageId, frames) after every change; returns the function that ends it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(imageId, frames) {
    for (const listener of this.#listeners) listener(imageId, frames);
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
