// The points of one cine as one annotator sees them: who put each there, whether a person stands for it, and every step back.

import { interpolated } from './between.js';
import { ASKED, CineFrames } from './cine-frames.js';
import { History } from './history.js';
import { framesOf, samePoint, sameFrame } from './label.js';

export class LabelDocument {
  version = 0; // of the label on the server that this one began with; 0 = none
  author = null;
  #cine = new CineFrames();
  #history = new History();
  #listeners = new Set();
  #unsure = new Set(); // frames that the model is not sure are of a TAVR

  /**
   * @param {{schema: Schema, image: Object, frameCount: number, now?: () => Date}} what image is the label JSON's block of that name
   */
  constructor({ schema, image, frameCount, now = () => new Date() }) {
    Object.assign(this, { schema, image, frameCount });
    this.now = now;
  }

  /** Call back with (frames) after every change; returns the function that ends it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // --- what an annotator does: every call is one step of undo ---

  place(frame, name, x, y) {
    const inside = (value, size) => Math.min(Math.max(value, 0), (size ?? Infinity) - 1);
    const place = { x: inside(x, this.image?.columns), y: inside(y, this.image?.rows) };
    const words = this.points(frame)[name]?.state === 'visible' ? 'Move' : 'Place';
    this.#edit(`${words} ${name}`, [[frame, name, this.#mine({ state: 'visible', ...place })]]);
  }

  /** Everything until endDrag() is one step. */
  beginDrag(name) {
    this.#history.begin(`Move ${name}`);
  }

  endDrag() {
    this.#history.end();
  }

  /** Make a point unlabelled again. */
  delete(frame, name) {
    this.#edit(`Delete ${name}`, [[frame, name, null]]);
  }

  markAbsent(frame, name) {
    this.#edit(`${name} absent`, [[frame, name, this.#mine({ state: 'absent' })]]);
  }

  markGroupAbsent(frame, groupId) {
    const group = this.schema.groups.find(({ id }) => id === groupId);
    this.#edit(`${group.title} absent`, group.points.map(name => [frame, name, this.#mine({ state: 'absent' })]));
  }

  /** Stand for every point of these frames as it is. */
  acceptFrames(frames) {
    const changes = frames.flatMap(frame =>
      Object.entries(this.points(frame))
        .filter(([, point]) => !point.confirmed)
        .map(([name, point]) => [frame, name, Object.freeze({ ...point, confirmed: true })])
    );
    this.#edit(frames.length === 1 ? `Accept frame ${frames[0] + 1}` : `Accept ${frames.length} frames`, changes);
  }

  /** The points of another frame as suggestions for this one; confirmed points stay. */
  copyFrom(frame, from) {
    this.#suggest(`Copy frame ${from + 1}`, new Map([[frame, this.points(from)]]), 'copied', () => true);
  }

  /** Suggest what lies between two labelled frames on straight lines. */
  interpolate(pairs) {
    const frames = new Map();
    for (const [a, b] of pairs) {
      const ends = [a, b].map(frame => ({ frame, points: this.#cine.confirmed(frame) }));
      for (const [frame, points] of interpolated(...ends)) frames.set(frame, points);
    }
    this.#suggest('Interpolate', frames, 'interpolated', frame => !this.isLabel(frame));
  }

  /** Suggest what the server tracked between labelled frames. */
  applyTracked(labels) {
    const frames = new Map(labels.flatMap(label => [...framesOf(label)]));
    this.#suggest('Track', frames, 'tracked', frame => !this.isLabel(frame));
  }

  undo() {
    return this.#replay(this.#history.undo(), 'before');
  }

  redo() {
    return this.#replay(this.#history.redo(), 'after');
  }

  get undoable() {
    return this.#history.undoable;
  }

  get redoable() {
    return this.#history.redoable;
  }

  // --- what comes from elsewhere: no step of undo ---

  /** Take the server's label as it is, at opening. */
  load(label, version) {
    const frames = new Set([...this.#cine.base.keys(), ...this.#cine.frames.keys()]);
    this.#cine.base = framesOf(label, { confirmed: true });
    this.#cine.frames = new Map(this.#cine.base);
    this.version = version;
    this.#changed([...frames, ...this.#cine.base.keys()]);
  }

  /**
   * Take over predictions. A whole series leaves alone what was labelled, tracked or copied; `everywhere` (one frame, asked for)
   * replaces whatever no person stands for.
   */
  addPrediction(label, { everywhere = false } = {}) {
    const free = points => everywhere || !Object.values(points).some(p => p.confirmed || ASKED.includes(p.how));
    const changed = [];
    for (const [frame, points] of framesOf(label, { how: 'predicted' })) {
      const now = this.points(frame);
      if (frame >= this.frameCount || !free(now)) continue;
      const kept = Object.entries(now).filter(([, point]) => point.confirmed);
      this.#cine.frames.set(frame, Object.freeze({ ...points, ...Object.fromEntries(kept) }));
      this.#cine.reviewed.delete(frame);
      changed.push(frame);
    }
    for (const { frame, typical } of label.frames) {
      if (typical === false) this.#unsure.add(frame);
      else this.#unsure.delete(frame);
    }
    this.#changed(changed);
  }

  /** The server has this label now under that number. */
  submitted(label, version) {
    this.#cine.base = framesOf(label, { confirmed: true });
    this.version = version;
    for (const [frame, points] of this.#cine.base) {
      const now = { ...this.points(frame) };
      for (const name of Object.keys(now)) {
        if (samePoint(now[name], points[name])) now[name] = Object.freeze({ ...now[name], confirmed: true });
      }
      this.#cine.frames.set(frame, Object.freeze(now));
      if (sameFrame(now, points)) this.#cine.reviewed.add(frame);
    }
    this.#changed([...this.#cine.base.keys()]);
  }

  /**
   * Somebody else submitted meanwhile: theirs becomes what this label is compared with. Frames that only they changed become theirs,
   * frames that only I changed stay mine.
   * @returns {number[]} frames that both changed, differently; they stay mine until takeTheirs()
   */
  rebase(label, version) {
    const before = this.#cine.base;
    const mine = new Set(this.changedFrames());
    this.#cine.base = framesOf(label, { confirmed: true });
    this.version = version;
    const now = this.#cine.base;
    const theirs = [...new Set([...before.keys(), ...now.keys()])].filter(f => !sameFrame(before.get(f), now.get(f)));
    for (const frame of theirs) if (!mine.has(frame)) this.#cine.set(frame, now.get(frame));
    this.#changed(theirs);
    return theirs.filter(frame => mine.has(frame) && this.#cine.differs(frame)).sort((a, b) => a - b);
  }

  /** Give up my points of these frames for the server's; one step of undo. */
  takeTheirs(frames) {
    const changes = frames.flatMap(frame => this.schema.names.map(name => [frame, name, this.#cine.base.get(frame)?.[name] ?? null]));
    this.#edit('Take theirs', changes);
  }

  // --- drafts ---

  /** What is not on the server yet, or null: {version, frames, base}, plain JSON. */
  draft() {
    const changed = this.changedFrames();
    if (!changed.length) return null;
    const pick = source => changed.map(frame => ({ frame, points: source(frame) ?? {} }));
    return {
      version: this.version,
      frames: pick(frame => this.points(frame)).map(entry => ({ ...entry, reviewed: this.#cine.reviewed.has(entry.frame) })),
      base: pick(frame => this.#cine.base.get(frame)),
    };
  }

  /**
   * Put a draft back, as one step of undo.
   * @returns {number[]} frames that somebody else changed on the server since the draft was written
   */
  restore(draft) {
    const mine = framesOf(draft);
    const before = framesOf({ frames: draft.base });
    const frames = draft.frames.map(({ frame }) => frame).filter(frame => frame < this.frameCount);
    const conflicts = frames.filter(frame => !sameFrame(before.get(frame), this.#cine.base.get(frame)));
    const changes = frames.flatMap(frame => this.schema.names.map(name => [frame, name, mine.get(frame)?.[name] ?? null]));
    this.#edit('Restore draft', changes);
    for (const { frame, reviewed } of draft.frames) if (!reviewed) this.#cine.reviewed.delete(frame);
    return conflicts.filter(frame => this.#cine.differs(frame));
  }

  // --- questions; see cine-frames.js ---

  /** Points of a frame by name; a missing name is unlabelled. */
  points(frame) {
    return this.#cine.points(frame);
  }

  /** The points of a frame that a submit takes, by name. */
  submittable(frame) {
    return this.#cine.submittable(frame);
  }

  isLabel(frame) {
    return this.#cine.isLabel(frame);
  }

  /** Whether the model, when it was asked, was not sure that a frame is of a TAVR, and no person has labelled it. */
  isUnsure(frame) {
    return this.#unsure.has(frame) && !this.isLabel(frame);
  }

  /** 'empty', 'predicted', 'tracked' (or interpolated, or copied), 'edited' (not on the server yet) or 'labelled'. */
  status(frame) {
    return this.#cine.status(frame);
  }

  /** Frames that a submit would change on the server, in order. */
  changedFrames() {
    return this.#cine.changed();
  }

  /** Frames that are labels, in order. */
  labelFrames() {
    return this.#cine.labels();
  }

  /** Frames with points that no person stands for, in order. */
  suggestedFrames() {
    return this.#cine.suggested();
  }

  /** Neighbouring labelled frames with others between them, as pairs. */
  gaps() {
    const frames = this.labelFrames();
    return frames.slice(1).map((frame, i) => [frames[i], frame]).filter(([a, b]) => b - a > 1);
  }

  /** The label JSON of what a submit takes. */
  toLabel() {
    return this.#cine.toLabel(this);
  }

  // --- the one place where points change ---

  #mine(point) {
    const who = this.author ? { author: this.author } : {};
    return Object.freeze({ ...point, source: 'annotator', ...who, time: this.now().toISOString(), confirmed: true });
  }

  #suggest(words, frames, how, wanted) {
    const changes = [];
    for (const [frame, points] of frames) {
      if (frame >= this.frameCount || !wanted(frame)) continue;
      for (const [name, { state, x, y, score, spread, author }] of Object.entries(points)) {
        if (this.points(frame)[name]?.confirmed) continue;
        const source = how === 'copied' ? points[name].source : 'model';
        const suggestion = { state, x, y, score, spread, author: author ?? how, source, confirmed: false, how };
        changes.push([frame, name, Object.freeze(JSON.parse(JSON.stringify(suggestion)))]);
      }
    }
    this.#edit(words, changes, { reviews: false });
  }

  #edit(words, changes, { reviews = true } = {}) {
    const recorded = new Map();
    for (const [frame, name, after] of changes) {
      const before = this.points(frame)[name] ?? null;
      if (before === after) continue;
      recorded.set(`${frame}/${name}`, { before, after });
      this.#cine.put(frame, name, after);
      if (reviews) this.#cine.reviewed.add(frame);
      else this.#cine.reviewed.delete(frame);
    }
    this.#history.record(words, recorded);
    this.#changed(changes.map(([frame]) => frame));
  }

  #replay(step, which) {
    if (!step) return null;
    const frames = [];
    for (const [place, values] of step.changes) {
      const [frame, name] = place.split('/');
      this.#cine.put(Number(frame), name, values[which]);
      frames.push(Number(frame));
    }
    this.#changed(frames);
    return { words: step.words, frames: [...new Set(frames)].sort((a, b) => a - b) };
  }

  #changed(frames) {
    const unique = [...new Set(frames)];
    if (unique.length) for (const listener of this.#listeners) listener(unique);
  }
}
