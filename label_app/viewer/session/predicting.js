// What is asked of the model: its state, points of a frame or of the series, and tracking between labelled frames.

import { Schema, portions } from '../document/points.js';

const FRAMES_PER_REQUEST = 8; // a portion takes about a second on a CPU: progress moves, and Stop is obeyed
const POLL_MS = 700;
const FAILED = 'The model could not be loaded. The log of the server says why; points can be placed by hand meanwhile.';

export class Predicting {
  state = { state: 'loading', version: null, sha256: null, problem: null, warning: null };
  job = null; // {imageId, what, done, total, abort}
  #stages = new Map(); // image id -> stage id
  #poll = null;
  #running = null; // promise of the job

  constructor(session) {
    this.session = session;
  }

  start() {
    this.#askStatus();
  }

  stop() {
    this.cancel();
    clearTimeout(this.#poll);
  }

  get ready() {
    return this.state.state === 'ready' && !this.state.problem;
  }

  async #askStatus() {
    const { session } = this;
    try {
      const status = await session.server.status();
      const { version = null, weights_sha256: sha256 = null, warning = null } = status.model ?? {};
      const problem = status.state === 'failed' ? FAILED : (status.problem ?? null);
      this.state = { state: status.state, version, sha256, problem, warning };
      const isNew = status.schema && status.schema.name !== session.schema?.name;
      session.learnStatus(status, isNew ? new Schema(status.schema) : null);
    } catch (error) {
      this.state = { ...this.state, state: 'loading', problem: error.message };
    }
    if (this.state.state === 'loading') this.#poll = setTimeout(() => this.#askStatus(), POLL_MS);
    session.changed();
  }

  /** Ask for the model's version again: a training published another. */
  refresh() {
    clearTimeout(this.#poll);
    return this.#askStatus();
  }

  /** The job that runs for the image on screen, or null. */
  get jobHere() {
    return this.job?.imageId === this.session.image?.id ? this.job : null;
  }

  get stage() {
    return (this.stages.find(stage => stage.id === this.#stages.get(this.session.image?.id)) ?? this.stages[0])?.id;
  }

  /** Of the procedure, as the schema names them; the first states nothing. */
  get stages() {
    return this.session.schema?.stages ?? [];
  }

  /** State the stage of the cine on screen; what is already predicted stays until it is predicted again. */
  setStage(id) {
    const { session } = this;
    if (!session.image || !this.stages.some(stage => stage.id === id)) return;
    this.#stages.set(session.image.id, id);
    const old = session.document?.suggestedFrames().length;
    if (old) session.say('warn', 'The points on screen were predicted for another stage: predict again.');
    else session.changed();
  }

  get #groups() {
    return this.stages.find(stage => stage.id === this.stage).groups;
  }

  predictFrame() {
    const { frame } = this.session;
    return this.#run('predict', [[frame]], {
      ask: (id, portion, signal) => this.session.server.predict(id, portion, { groups: this.#groups, signal }),
      take: (document, label) => document.addPrediction(label, { everywhere: true }),
      words: () => `Frame ${frame + 1} predicted.`,
    });
  }

  /** Every frame of the image, beginning where the reader looks. */
  predictSeries() {
    const { frameCount, frame } = this.session;
    return this.#run('predict', portions(frameCount, frame, FRAMES_PER_REQUEST), {
      ask: (id, portion, signal) => this.session.server.predict(id, portion, { groups: this.#groups, signal }),
      take: (document, label) => document.addPrediction(label),
      words: total => `${total} frames predicted.`,
    });
  }

  /** Between every two neighbouring labelled frames, in one step of undo once all is there. */
  track() {
    const { session } = this;
    const gaps = session.document?.gaps() ?? [];
    if (!session.haveGaps(gaps)) return undefined;
    const ends = new Map(session.document.toLabel().frames.map(entry => [entry.frame, entry]));
    const labels = [];
    const parts = gaps.map(([a, b]) => Array.from({ length: b - a - 1 }, (_, i) => a + 1 + i));
    return this.#run('track', parts, {
      ask: (id, between, signal) => {
        const options = { groups: this.#groups, signal };
        return session.server.track(id, ends.get(between[0] - 1), ends.get(between.at(-1) + 1), options);
      },
      take: (document, label) => {
        labels.push(label);
        if (labels.length === gaps.length) document.applyTracked(labels);
      },
      words: total => `${total} frames tracked: play the cine to review them, then accept all.`,
    });
  }

  cancel() {
    this.job?.abort.abort();
  }

  // one at a time; what is asked of another image takes the place of what still runs
  async #run(what, parts, steps) {
    const { image, document } = this.session;
    if (!image || !document || this.job?.imageId === image.id) return;
    this.cancel();
    await this.#running;
    this.#running = this.#work({ what, parts, image, document, ...steps });
    await this.#running;
  }

  async #work({ what, parts, image, document, ask, take, words }) {
    const { session } = this;
    const abort = new AbortController();
    const total = parts.reduce((sum, part) => sum + part.length, 0);
    const job = { imageId: image.id, what, done: 0, total, abort };
    this.job = job;
    session.say(null);
    try {
      for (const part of parts) {
        const label = await ask(image.id, part, abort.signal);
        abort.signal.throwIfAborted();
        take(document, label);
        job.done += part.length;
        session.changed();
      }
      session.say('done', words(total));
    } catch (error) {
      if (error.name === 'AbortError') session.say('done', `Stopped after ${job.done} of ${total} frames.`);
      else session.fail(error);
    } finally {
      this.job = null;
      session.edit.rearm();
      session.changed();
    }
  }
}
