// One annotator's work: the image on screen, its points, the model's state, and the prediction that is running.

import { PointStore, Schema, portions } from './points.js';
import { getImage, getStatus, predict } from './server.js';
import { activeViewport, onView, parseImageId, showIndex } from './viewport.js';
import { setStyle, syncFrame } from './tool.js';

const FRAMES_PER_REQUEST = 8; // a portion takes about a second on a CPU: progress moves, and Cancel is obeyed
const POLL_MS = 700;

export class Session {
  points = new PointStore();
  schema = null;
  uncertainBelow = 0;
  model = { state: 'loading', version: null, problem: null };
  image = null; // {id, frames, byFrame: Map("sop/frame" -> index)} of the active viewport
  frame = 0;
  job = null; // {imageId, done, total, abort}
  message = null; // {kind: 'error' | 'done', text}
  #images = new Map();
  #listeners = new Set();
  #ends = [];

  /** Begin to watch the viewer and the server. */
  start() {
    this.#ends.push(
      onView(() => this.#look()),
      this.points.onChange((imageId, frames) => this.#draw(imageId, frames))
    );
    this.#askStatus();
    this.#look();
  }

  stop() {
    this.cancel();
    clearTimeout(this.poll);
    for (const end of this.#ends.splice(0)) end();
  }

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get currentPoints() {
    return this.image ? this.points.frame(this.image.id, this.frame) : null;
  }

  async #askStatus() {
    try {
      const status = await getStatus();
      this.model = { state: status.state, version: status.model?.version ?? null, problem: status.problem ?? null };
      this.uncertainBelow = status.uncertain_below;
      if (status.schema && status.schema.name !== this.schema?.name) {
        this.schema = new Schema(status.schema);
        setStyle(this.schema, this.uncertainBelow);
      }
      if (status.state === 'failed') this.model.problem = 'The model could not be loaded; the log of the server says why.';
    } catch (error) {
      this.model = { ...this.model, state: 'loading', problem: error.message };
    }
    if (this.model.state === 'loading') this.poll = setTimeout(() => this.#askStatus(), POLL_MS);
    this.#changed();
  }

  /** Which image and frame are on screen now? */
  async #look() {
    const viewport = activeViewport();
    const shown = viewport && parseImageId(viewport.getCurrentImageId() ?? '');
    if (!shown) return;
    const image = await this.#imageOf(shown.sop);
    if (viewport !== activeViewport()) return; // another came up meanwhile
    const now = parseImageId(viewport.getCurrentImageId() ?? '') ?? shown;
    this.image = image;
    this.frame = image?.byFrame.get(`${now.sop}/${now.frame}`) ?? 0;
    this.#changed();
  }

  #imageOf(sop) {
    if (!this.#images.has(sop)) {
      const asked = getImage(sop).then(
        ({ id, frames }) => ({
          id,
          frames,
          byFrame: new Map(frames.map((f, index) => [`${f.sop_instance_uid}/${f.frame}`, index])),
        }),
        () => null
      );
      this.#images.set(sop, asked);
    }
    return this.#images.get(sop);
  }

  /** Predict every frame of the image on screen, beginning where the reader looks. */
  async predictSeries() {
    if (this.job || !this.image) return;
    const { id, frames } = this.image;
    const abort = new AbortController();
    this.job = { imageId: id, done: 0, total: frames.length, abort };
    this.message = null;
    this.#changed();
    try {
      for (const portion of portions(frames.length, this.frame, FRAMES_PER_REQUEST)) {
        this.points.add(id, await predict(id, portion, { signal: abort.signal }));
        this.job.done += portion.length;
        this.#changed();
      }
      this.message = { kind: 'done', text: `${frames.length} frames predicted.` };
    } catch (error) {
      this.message =
        error.name === 'AbortError'
          ? { kind: 'done', text: `Stopped after ${this.job.done} of ${frames.length} frames.` }
          : { kind: 'error', text: error.message };
    } finally {
      this.job = null;
      this.#changed();
    }
  }

  cancel() {
    this.job?.abort.abort();
  }

  clear() {
    if (this.image) this.points.clear(this.image.id);
    this.message = null;
    this.#changed();
  }

  show(frame) {
    const viewport = activeViewport();
    const wanted = this.image?.frames[frame];
    if (!viewport || !wanted) return;
    const index = viewport.getImageIds().findIndex(id => {
      const parsed = parseImageId(id);
      return parsed.sop === wanted.sop_instance_uid && parsed.frame === wanted.frame;
    });
    if (index >= 0) showIndex(viewport, index);
  }

  #draw(imageId, frames) {
    const viewport = activeViewport();
    if (!viewport || this.image?.id !== imageId) return;
    const ids = new Map(viewport.getImageIds().map(id => [Object.values(parseImageId(id)).join('/'), id]));
    for (const frame of frames) {
      const { sop_instance_uid: sop, frame: inFile } = this.image.frames[frame];
      const id = ids.get(`${sop}/${inFile}`);
      if (id) syncFrame(viewport, id, this.points.frame(imageId, frame));
    }
    viewport.render();
  }

  #changed() {
    for (const listener of this.#listeners) listener();
  }
}
