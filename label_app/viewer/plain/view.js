// The plain page as a View (see ../session.js): one image, its frames, and the stage they are drawn on.

import { drawMarks } from '../picture/drawing.js';
import { bindPointer } from '../picture/pointer.js';
import { Frames } from './frames.js';

export class PlainView {
  image = null; // {id, study, series, frames: [{sop_instance_uid, frame}]}
  frame = 0; // of what is on screen
  #wanted = 0;
  #frames = null;
  #listeners = new Set();
  #hovered = null;

  /** @param {Object} stage see stage.js @param {function(string)} onTrouble words for the reader */
  constructor(stage, onTrouble) {
    this.stage = stage;
    this.onTrouble = onTrouble;
  }

  /** Draw a session's points, and let the pointer work on them; returns the function that ends it. */
  attach(session) {
    const { stage } = this;
    this.session = session;
    const ends = [
      stage.onChange(() => this.#draw()),
      bindPointer(session, {
        element: () => (this.image ? stage.node : null),
        toImage: (left, top) => stage.toImage(left, top),
        scale: () => stage.scale,
        onHover: name => {
          this.#hovered = name;
          this.#draw();
        },
      }),
    ];
    return () => ends.forEach(end => end());
  }

  shown() {
    const place = this.image?.frames[this.frame];
    return place ? { sop: place.sop_instance_uid, frame: place.frame } : null;
  }

  async show({ sop, frame }) {
    const index = this.image?.frames.findIndex(f => f.sop_instance_uid === sop && f.frame === frame) ?? -1;
    if (index < 0) return false;
    await this.showIndex(index);
    return true;
  }

  /** Show a frame by its index; one that was asked for later wins. Returns whether it is on screen now. */
  async showIndex(index) {
    const frames = this.#frames;
    this.#wanted = index;
    let bitmap;
    try {
      bitmap = await frames.get(index);
    } catch (error) {
      if (error.name !== 'AbortError') this.onTrouble(error.message);
      return false;
    }
    if (frames !== this.#frames || this.#wanted !== index) return false;
    this.onTrouble(null);
    this.frame = index;
    this.stage.show(bitmap);
    this.#changed();
    return true;
  }

  /** One frame on or back, round the end: from the one asked for last, so that fast keys are not lost. */
  step(by) {
    const count = this.image?.frames.length ?? 0;
    return count ? this.showIndex((((this.#wanted + by) % count) + count) % count) : Promise.resolve(false);
  }

  async open(image, frame) {
    this.#frames?.close();
    this.stage.show(null);
    this.image = image;
    this.frame = frame;
    this.#frames = new Frames(image.id, image.frames.length);
    await this.showIndex(frame);
  }

  onView(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  redraw(session, frames) {
    if (frames === null || frames.includes(this.frame)) this.#draw();
  }

  centre() {
    if (!this.image) return null;
    const [x, y] = this.stage.toImage(this.stage.node.clientWidth / 2, this.stage.node.clientHeight / 2);
    return { x, y };
  }

  #draw() {
    const { stage, session } = this;
    drawMarks(stage.layer, {
      frame: this.frame,
      marks: session?.image && session.image.id === this.image?.id && stage.size ? session.marks(this.frame) : [],
      skeleton: session?.schema?.skeleton ?? [],
      toScreen: (x, y) => stage.toScreen(x, y),
      scale: stage.scale,
      hovered: this.#hovered,
    });
  }

  #changed() {
    for (const listener of this.#listeners) listener();
  }
}
