// Labels on their way: opened with an image, drafted while it is worked on, submitted, and reconciled when somebody else was faster.

import { Drafts } from '../document/drafts.js';

const AUTOSAVE_MS = 400;
const NEXT = 'tavr.next'; // where a page that is loaded anew has to go
const STRATEGY = 'tavr.strategy';
const NOTHING_LEFT = 'Every frame that this strategy would ask for is labelled. Add studies, or choose another strategy.';
const NOTHING_NEW = 'Nothing to submit: no frame was accepted or edited since the last time.';
const MOST_EXCLUDED = 1000; // frames of a request; the latest count

export class Work {
  busy = null; // 'submit' | 'next'
  next = null; // the last answer of next sample: {id, frame, reason, remaining}
  savedAt = null; // Date of the last draft
  #timer = null;
  #skipped = new Set(); // frames that next sample offered in this window
  #going = null; // the answer of next sample that is being opened
  #conflicts = new Map(); // LabelDocument -> {author, time, frames: [still undecided]}

  constructor(session) {
    this.session = session;
    this.drafts = new Drafts(session.storage);
    this.flush = this.flush.bind(this);
  }

  start() {
    window.addEventListener('pagehide', this.flush);
    document.addEventListener('visibilitychange', this.flush);
    this.#going = JSON.parse(this.session.sessionStorage.getItem(NEXT) ?? 'null');
    if (this.#going) this.#skipped = new Set(this.#going.skipped);
  }

  stop() {
    this.flush();
    window.removeEventListener('pagehide', this.flush);
    document.removeEventListener('visibilitychange', this.flush);
  }

  /** Fill the document of an image: the server's label, then the draft. False where the server could not be asked. */
  async open(document, imageId) {
    const { session } = this;
    try {
      const current = await session.server.label(imageId);
      document.load(current.label, current.version);
      session.archiving.learn(imageId, current);
      this.#restore(document, imageId, current);
      return true;
    } catch (error) {
      session.failAndTryAgain(error);
      return false;
    }
  }

  #restore(document, imageId, { author = null, time = null }) {
    const draft = this.drafts.read(imageId, this.session.annotator);
    if (!draft) return;
    const frames = document.restore(draft);
    if (frames.length) this.#conflicts.set(document, { author, time, frames });
    const words = `Your unsubmitted work on ${count(draft.frames.length, 'frame')} of ${timeOf(draft.time)} was restored.`;
    this.session.say('done', frames.length ? words : `${words} Undo takes it away.`);
  }

  // --- drafts ---

  /** Write the draft soon: the document has changed. */
  autosave() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.flush, AUTOSAVE_MS);
  }

  /** Write the draft of the image on screen now. */
  flush() {
    clearTimeout(this.#timer);
    const { image, document, annotator } = this.session;
    if (!image || !document) return;
    const draft = document.draft();
    const kept = this.drafts.keep(image.id, annotator, draft);
    if (draft && kept) this.savedAt = new Date();
    if (!kept) this.session.say('warn', 'This browser has no room for drafts: submit often.');
    else this.session.changed();
  }

  /** Forget the draft of the image on screen. */
  drop() {
    this.drafts.keep(this.session.image.id, this.session.annotator, null);
  }

  // --- submit ---

  /** Frames of the image on screen that somebody else changed too: {author, time, frames}, or null. */
  get conflict() {
    return this.#conflicts.get(this.session.document) ?? null;
  }

  get canSubmit() {
    return !this.busy && !this.conflict && this.session.document?.changedFrames().length > 0;
  }

  /** Send every changed frame; see document.js for what is taken. */
  async submit() {
    const { session } = this;
    const { document, image } = session;
    if (!image || !document || this.busy) return;
    if (this.conflict) session.say('warn', 'First decide about the frames that somebody else changed too.');
    else if (!document.changedFrames().length) session.say('warn', NOTHING_NEW);
    else {
      this.#set('submit');
      await this.#send(document, image.id);
      this.#set(null);
    }
  }

  async #send(document, imageId, { again = false } = {}) {
    const { session } = this;
    const frames = document.changedFrames().length;
    const label = document.toLabel();
    try {
      const options = { version: document.version, model: session.model.state.sha256 };
      const { version } = await session.server.submit(imageId, label, options);
      document.submitted(label, version);
      session.archiving.submitted(imageId, version);
      this.drafts.keep(imageId, session.annotator, document.draft());
      const others = again ? ' Somebody submitted other frames meanwhile; both are kept.' : '';
      session.say('done', `${count(frames, 'frame')} submitted: version ${version} of this label.${others}`);
    } catch (error) {
      this.flush();
      if (error.status === 409 && !again) await this.#reconcile(document, imageId);
      else session.fail(error);
    }
  }

  async #reconcile(document, imageId) {
    const { session } = this;
    let current;
    try {
      current = await session.server.label(imageId);
    } catch (error) {
      session.fail(error);
      return;
    }
    session.archiving.learn(imageId, current);
    const frames = document.rebase(current.label, current.version);
    if (!frames.length) await this.#send(document, imageId, { again: true });
    else {
      this.#conflicts.set(document, { author: current.author, time: current.time, frames });
      session.say(null);
      if (session.document === document) await session.show(frames[0]);
    }
  }

  /**
   * Decide about frames that both changed: 'mine' or 'theirs'; all that are undecided where no frame is given.
   * Every version stays on the server, so neither is lost.
   */
  resolve(choice, frame = null) {
    const { conflict, session } = this;
    if (!conflict) return;
    const frames = frame === null ? conflict.frames : [frame];
    if (choice === 'theirs') session.document.takeTheirs(frames);
    conflict.frames = conflict.frames.filter(f => !frames.includes(f));
    if (conflict.frames.length) session.show(conflict.frames[0]);
    else {
      this.#conflicts.delete(session.document);
      const rest = session.document.changedFrames().length;
      session.say('done', rest ? 'Decided. Submit sends your frames.' : 'Decided: the label is theirs.');
    }
    session.changed();
  }

  // --- next sample ---

  get strategy() {
    const { strategies } = this.session;
    const wanted = this.session.storage.getItem(STRATEGY);
    return strategies.includes(wanted) ? wanted : (strategies[0] ?? null);
  }

  setStrategy(name) {
    this.session.storage.setItem(STRATEGY, name);
    this.session.changed();
  }

  /** Open the frame that teaches the model most, and have it predicted. Unsubmitted work stays as a draft. */
  async openNext() {
    const { session } = this;
    if (this.busy || !this.strategy) return;
    this.flush();
    this.#set('next');
    try {
      const exclude = [...this.#skipped].map(parse).concat(this.drafts.frames(session.annotator)).slice(-MOST_EXCLUDED);
      const answer = await session.server.next(this.strategy, { exclude });
      if (!answer.id) {
        session.say('done', answer.detail ?? NOTHING_LEFT);
        return;
      }
      const { id, frame = 0, reason = null, remaining = null } = answer;
      this.next = { id, frame, reason, remaining };
      this.#skipped.add(`${id}/${frame}`);
      await this.#go({ id, frame, reason, remaining });
    } catch (error) {
      session.fail(error);
    } finally {
      this.#set(null);
    }
  }

  async #go(target) {
    const { session } = this;
    this.#going = target;
    session.sessionStorage.setItem(NEXT, JSON.stringify({ ...target, skipped: [...this.#skipped] }));
    if (session.image?.id === target.id) await this.arrive();
    else await session.view.open(await session.server.image(target.id), target.frame);
  }

  /** The image on screen is ready: if it is the one that was asked for, show its frame and its prediction. */
  async arrive() {
    const { session } = this;
    const target = this.#going;
    if (!target || !session.document || session.image?.id !== target.id || !session.model.ready) return;
    this.#going = null;
    this.next = target;
    session.sessionStorage.removeItem(NEXT);
    await session.show(target.frame);
    if (!Object.keys(session.document.points(target.frame)).length) await session.model.predictFrame();
    if (session.message?.kind !== 'error') session.say('done', whyNext(target));
  }

  #set(busy) {
    this.busy = busy;
    this.session.changed();
  }
}

const parse = entry => {
  const at = entry.lastIndexOf('/');
  return { id: entry.slice(0, at), frame: Number(entry.slice(at + 1)) };
};
const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

function whyNext({ frame, reason, remaining }) {
  const left = remaining === null ? '' : ` ${count(remaining, 'frame')} left after this one.`;
  return `Frame ${frame + 1}${reason ? `: ${reason}` : ''}.${left}`.replace('..', '.');
}

/** Time of an ISO date for people: with the day where it is not today. */
export function timeOf(iso) {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString('en-GB', today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' });
}
