// What an annotator does to the points of the frame on screen: by pointer, by key and by button alike.

import { nearest } from '../document/marks.js';

const PLACING = 'tavr.placing';

export class Editing {
  selected = null; // the point that keys act on
  armed = null; // the point that the next click places
  placing; // whether the first missing point of a frame is armed by itself
  hidden = false;
  #drag = null; // {name, frame}

  constructor(session) {
    this.session = session;
    this.placing = session.storage.getItem(PLACING) !== 'off';
  }

  get #document() {
    return this.session.document;
  }

  get #points() {
    return this.#document?.points(this.session.frame) ?? {};
  }

  /** Points came or went: arm what is missing. On another frame that is the first missing point, unless one was chosen. */
  rearm({ elsewhere = false } = {}) {
    const missing = this.armed && !this.#points[this.armed];
    const kept = missing && (!elsewhere || this.armed === this.selected);
    if (!kept) this.armed = this.placing ? this.#missing() : null;
  }

  #missing(after = null) {
    const { schema, document } = this.session;
    if (!schema || !document) return null;
    return (after ? schema.namesAfter(after) : schema.names).find(name => !this.#points[name]) ?? null;
  }

  /** Arm the missing point after this one, or select it if it is there. */
  choose(name) {
    const there = this.#points[name]?.state === 'visible';
    this.selected = name;
    this.armed = there ? (this.placing ? this.#missing() : null) : name;
    this.session.changed();
  }

  /** Step through the points of a group: each call takes the next. */
  chooseInGroup(index) {
    const names = this.session.schema.groups[index].points;
    this.choose(names[(names.indexOf(this.selected) + 1) % names.length]);
  }

  chooseNext(step) {
    const names = this.session.schema?.names;
    if (!names) return;
    const at = names.indexOf(this.selected);
    this.choose(names[at < 0 ? (step > 0 ? 0 : names.length - 1) : (at + step + names.length) % names.length]);
  }

  leave() {
    this.selected = null;
    this.armed = null;
    this.session.changed();
  }

  togglePlacing() {
    this.placing = !this.placing;
    this.session.storage.setItem(PLACING, this.placing ? 'on' : 'off');
    this.armed = this.placing ? this.#missing() : null;
    const words = this.placing ? 'A click places the next missing point.' : 'Clicks place nothing until you choose a point.';
    this.session.say('done', words);
  }

  toggleHidden() {
    this.hidden = !this.hidden;
    this.session.changed();
  }

  // --- pointer ---

  pointAt(x, y, within) {
    return nearest(this.session.marks(this.session.frame), x, y, within)?.name ?? null;
  }

  /** A press that did not move. Returns whether it was ours. */
  click(x, y, within) {
    if (!this.#document) return false;
    // a missing point may lie close to another one: only a click right on that one means it
    const hit = this.pointAt(x, y, this.armed ? within / 3 : within);
    if (hit) this.choose(hit);
    else if (this.armed) this.#place(this.armed, x, y);
    else if (this.selected) this.leave();
    else return false;
    return true;
  }

  #place(name, x, y) {
    this.#document.place(this.session.frame, name, x, y);
    this.selected = null;
    this.armed = this.#missing(name);
    this.session.changed();
  }

  beginDrag(name) {
    this.#drag = { name, frame: this.session.frame };
    this.#document.beginDrag(name);
  }

  dragTo(x, y) {
    if (this.#drag) this.#document.place(this.#drag.frame, this.#drag.name, x, y);
  }

  endDrag() {
    if (!this.#drag) return;
    this.#drag = null;
    this.#document.endDrag();
    this.session.changed();
  }

  get dragging() {
    return this.#drag !== null;
  }

  // --- keys and buttons; `name` is the selected or armed point where none is given ---

  get target() {
    return this.selected ?? this.armed;
  }

  nudge(dx, dy) {
    const point = this.#points[this.selected];
    if (point?.state === 'visible') this.#document.place(this.session.frame, this.selected, point.x + dx, point.y + dy);
  }

  /** Place the chosen point without a pointer: where it was last, else in the middle; arrows then move it. */
  placeByKey() {
    const name = this.target ?? this.#missing();
    if (!name || !this.#document || this.#points[name]?.state === 'visible') return;
    const { frame } = this.session;
    const known = this.#document.labelFrames().filter(f => this.#document.points(f)[name]?.state === 'visible');
    const near = known.sort((a, b) => Math.abs(a - frame) - Math.abs(b - frame))[0];
    const { columns = 512, rows = 512 } = this.session.image.image ?? {};
    const place = near === undefined ? this.session.view.centre() : this.#document.points(near)[name];
    const { x, y } = place ?? { x: (columns - 1) / 2, y: (rows - 1) / 2 };
    this.#place(name, x, y);
    this.selected = name;
    this.session.changed();
  }

  absent(name = this.target) {
    if (!name || !this.#document) return;
    this.#document.markAbsent(this.session.frame, name);
    this.armed = this.placing ? this.#missing(name) : null;
    this.session.changed();
  }

  groupAbsent(groupId = this.session.schema?.groupOf.get(this.target)?.id) {
    if (!groupId || !this.#document) return;
    this.#document.markGroupAbsent(this.session.frame, groupId);
    this.selected = null;
    this.rearm();
    this.session.changed();
  }

  remove(name = this.selected) {
    if (!name || !this.#points[name]) return;
    this.#document.delete(this.session.frame, name);
    this.selected = null;
    this.armed = this.placing ? name : null;
    this.session.changed();
  }

  acceptFrame() {
    this.#document?.acceptFrames([this.session.frame]);
  }

  /** Stand for all that was tracked between labelled frames, and for the predicted frames that were on screen. */
  acceptAll() {
    const frames = this.session.acceptableFrames();
    this.#document.acceptFrames(frames);
    this.session.say('done', `${frames.length} frames accepted. Submit sends them.`);
  }

  /** Suggest the points of the labelled frame before this one, or else the one after. */
  copy() {
    const { frame } = this.session;
    const labels = this.#document.labelFrames().filter(f => f !== frame);
    const from = labels.filter(f => f < frame).at(-1) ?? labels[0];
    if (from === undefined) {
      this.session.say('warn', 'There is no labelled frame to copy from yet: place the points of one frame first.');
      return;
    }
    this.#document.copyFrom(frame, from);
    this.session.say('done', `Points of frame ${from + 1} copied: move those that differ, then accept.`);
  }

  interpolate() {
    const gaps = this.#document.gaps();
    if (!this.session.haveGaps(gaps)) return;
    this.#document.interpolate(gaps);
    this.session.say('done', `Interpolated between ${gaps.length + 1} labelled frames: look at the result, then accept all.`);
  }

  undo() {
    this.#show(this.#document?.undo(), 'Undone');
  }

  redo() {
    this.#show(this.#document?.redo(), 'Redone');
  }

  #show(step, what) {
    if (!step) return;
    if (!step.frames.includes(this.session.frame)) this.session.show(step.frames[0]);
    this.rearm();
    this.session.say('done', `${what}: ${step.words}.`);
  }
}
