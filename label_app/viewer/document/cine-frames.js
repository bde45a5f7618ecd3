// The labels of a cine as they stand: the points of each frame, what the server has of them, and what a submit would take.
//
// A frame with at least one confirmed point is a label: its confirmed points, and the suggestions beside them if the annotator edited
// the frame after those came up, since whoever corrects two points of eleven has looked at the eleven. A frame with suggestions only
// is no label, however good they are.

import { labelOf, sameFrame } from './label.js';

/** Where suggestions come from that an annotator asked for by a step of undo. */
export const ASKED = ['tracked', 'interpolated', 'copied'];
const sorted = frames => [...frames].sort((a, b) => a - b);

export class CineFrames {
  frames = new Map(); // frame -> frozen {name: Point}
  base = new Map(); // the same of the server's label
  reviewed = new Set(); // frames edited since their suggestions came

  /** Points of a frame by name; a missing name is unlabelled. */
  points(frame) {
    return this.frames.get(frame) ?? {};
  }

  /** Replace the points of a frame; none of them, and the frame is gone. */
  set(frame, points) {
    if (points && Object.keys(points).length) this.frames.set(frame, Object.freeze(points));
    else this.frames.delete(frame);
  }

  /** Replace one point of a frame; null makes it unlabelled. */
  put(frame, name, point) {
    const { [name]: _, ...others } = this.points(frame);
    this.set(frame, point ? { ...others, [name]: point } : others);
  }

  /** The points of a frame that a person stands for. */
  confirmed(frame) {
    return Object.fromEntries(Object.entries(this.points(frame)).filter(([, point]) => point.confirmed));
  }

  /** Whether a submit makes this frame a label: somebody stands for at least one of its points. */
  isLabel(frame) {
    return Object.values(this.points(frame)).some(point => point.confirmed);
  }

  /** The points of a frame that a submit takes, by name. */
  submittable(frame) {
    if (!this.isLabel(frame)) return {};
    return this.reviewed.has(frame) ? this.points(frame) : this.confirmed(frame);
  }

  /** Whether a submit would change this frame on the server. */
  differs(frame) {
    return !sameFrame(this.submittable(frame), this.base.get(frame));
  }

  /** Frames that a submit would change on the server, in order. */
  changed() {
    return sorted(new Set([...this.frames.keys(), ...this.base.keys()])).filter(frame => this.differs(frame));
  }

  /** 'empty', 'predicted', 'tracked' (or interpolated, or copied), 'edited' (not on the server yet) or 'labelled'. */
  status(frame) {
    const points = this.points(frame);
    if (this.differs(frame)) return 'edited';
    if (this.base.has(frame)) return 'labelled';
    if (!Object.keys(points).length) return 'empty';
    return Object.values(points).some(point => ASKED.includes(point.how)) ? 'tracked' : 'predicted';
  }

  /** Frames that are labels, in order. */
  labels() {
    return sorted([...this.frames.keys()].filter(frame => this.isLabel(frame)));
  }

  /** Frames with points that no person stands for, in order. */
  suggested() {
    const open = points => Object.values(points).some(point => !point.confirmed);
    return sorted([...this.frames].filter(([, points]) => open(points)).map(([frame]) => frame));
  }

  /** The label JSON of what a submit takes. */
  toLabel(about) {
    return labelOf(
      [...this.frames.keys()].map(frame => [frame, this.submittable(frame)]),
      about
    );
  }
}
