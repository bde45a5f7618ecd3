// One annotator's work in one window: the image on screen, its document, the model, and what is asked of the server.
// Nothing here knows OHIF. The page that shows the picture stands behind a View; the panel, the slider and the keys stand before it.

/**
 * The page that a Session lives in: OHIF's viewport, or the plain page. Coordinates that cross this border are native pixels
 * (x, y), 0 = centre of the first pixel; frames are named by instance and 0-based frame within its file, as DICOM names them.
 *
 * @typedef {Object} View
 * @property {() => ?{sop: string, frame: number}} shown
 *   What is on screen now, or null. Must be cheap: it is asked at every frame change.
 * @property {(place: {sop: string, frame: number}) => Promise<boolean>} show
 *   Bring up another frame of the image on screen; false where it is not part of what is open.
 * @property {(image: {id: string, study: string, series: string, frames: Array}, frame: number) => Promise<void>} open
 *   Bring up another image (next sample). May load the page anew: the session that starts there knows where it was going and shows
 *   the frame itself.
 * @property {(listener: () => void) => (() => void)} onView
 *   Call back whenever another frame or another image has come up; returns the function that ends it.
 * @property {(session: Session, frames: ?number[]) => void} redraw
 *   Draw session.marks(frame) anew for these frames of the image on screen; null: all of them (colours, selection, image).
 * @property {() => ?{x: number, y: number}} centre
 *   Middle of what is on screen: where a point goes that is placed by keyboard.
 */

/*
What a View calls when the pointer is on the picture (x, y native pixels, `within` = reach of the pointer in native pixels):

  session.pointAt(x, y, within) -> name | null  nearest visible point of the frame on screen
  session.beginDrag(name)                       a press on a point that moves; the press itself changes nothing
  session.dragTo(x, y)
  session.endDrag()                             the whole drag is one step of undo
  session.click(x, y, within) -> boolean        a press that did not move: chooses the point there, or else places the armed one;
                                                whether it did either. A press that moves and began on no point is the page's own:
                                                window/level, pan and zoom.
  session.remove(name)                          makes a point unlabelled again
  session.armed -> name | null                  the point that the next click places: show a crosshair
  session.selected -> name | null
  session.marks(frame) -> Mark[]                what to draw (see marks.js); [] while points are hidden

What a page does:

  const session = new Session(view);
  session.start();
  const ends = [mountPanel(node, session), bindKeys(window, session)];

and session.stop() and the ends when it leaves. session.onChange(listener) tells of every change but a drag's moves.
*/

import { Actions } from './actions.js';
import { Archiving } from './archiving.js';
import { LabelDocument } from '../document/document.js';
import { Editing } from './editing.js';
import { marksOf } from '../document/marks.js';
import { isUncertain } from '../document/points.js';
import { Predicting } from './predicting.js';
import { Server } from './server.js';
import { Training } from './training.js';
import { Work } from './work.js';

const ANNOTATOR = 'tavr.annotator';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$/;
const NAME_WORDS = 'A name has up to 64 letters, digits, spaces, . _ and -, and begins with a letter or a digit.';
const MESSAGE_MS = 4000;
const AGAIN_MS = 3000; // until what the server failed to answer is asked again
const NOBODY = 'local'; // the server's word for an annotator who gave no name

export class Session {
  schema = null;
  uncertainBelow = 0;
  user = { name: NOBODY, roles: [] };
  auth = null;
  strategies = [];
  image = null; // as the server describes it, with byFrame: Map("sop/frame" -> index)
  document = null; // LabelDocument of the image, null while it is being fetched
  frame = 0;
  message = null; // {kind: 'error' | 'warn' | 'done', text, login: whether logging in would help}
  helpOpen = false;
  #images = new Map(); // SOP instance UID -> Promise of the image
  #documents = new Map(); // image id -> Promise of its LabelDocument, or of null where it could not be had
  #endDocument = null;
  #seen = new Map(); // image id -> frames that were on screen with their suggestions
  #listeners = new Set();
  #ends = [];
  #again = null;
  #trouble = null; // message about what will be asked again

  /**
   * @param {View} view
   * @param {{server?: Server, storage?: Storage, sessionStorage?: Storage}} others what a test replaces
   */
  constructor(view, { server = new Server(), storage = window.localStorage, sessionStorage = window.sessionStorage } = {}) {
    Object.assign(this, { view, server, storage, sessionStorage });
    server.annotator = NAME.test(storage.getItem(ANNOTATOR) ?? '') ? storage.getItem(ANNOTATOR) : null;
    this.counter = new Actions(sessionStorage);
    this.edit = new Editing(this);
    this.model = new Predicting(this);
    this.work = new Work(this);
    this.training = new Training(this);
    this.archiving = new Archiving(this);
  }

  /** Begin to watch the page and the server. */
  start() {
    this.#ends.push(this.view.onView(() => this.#look()), this.counter.listen(window));
    for (const part of [this.work, this.model]) part.start();
    this.#look();
  }

  stop() {
    clearTimeout(this.#again);
    for (const part of [this.work, this.model, this.training, this.archiving]) part.stop();
    for (const end of this.#ends.splice(0)) end();
  }

  /** Call back after every change of anything; returns the function that ends it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tell everybody that something changed. */
  changed() {
    for (const listener of this.#listeners) listener();
    this.view.redraw(this, null);
  }

  /** Say something to the annotator: 'error', 'warn' or 'done'; null takes the last message away. */
  say(kind, text) {
    this.message = kind && { kind, text, time: performance.now() };
    this.changed();
  }

  // good news and advice give way to hints once the annotator goes on
  #passMessage() {
    const { kind, time } = this.message ?? {};
    if (kind && kind !== 'error' && performance.now() - time > MESSAGE_MS) this.message = null;
  }

  /** Say what went wrong with a request. */
  fail(error) {
    this.message = { kind: 'error', text: error.message, login: error.status === 401 };
    this.changed();
  }

  /** The same of a request without which there is no document: it is asked again after a while, unless it was refused. */
  failAndTryAgain(error) {
    this.fail(error);
    if (error.status !== 0 && !(error.status >= 500)) return;
    this.#trouble = this.message;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#look(), AGAIN_MS);
  }

  toggleHelp() {
    this.helpOpen = !this.helpOpen;
    this.changed();
  }

  /** Number of key presses, clicks, drags and wheel turns of the annotator in this window. */
  get actions() {
    return this.counter.count;
  }

  // --- who ---

  /** Name that drafts and labels go by. */
  get annotator() {
    return this.user.name;
  }

  /** Whether the annotator says who it is; otherwise the login does. */
  get mayRename() {
    return this.auth === 'none';
  }

  rename(name) {
    const wanted = name.trim();
    if (!this.mayRename || wanted === this.annotator) return;
    if (!NAME.test(wanted)) {
      this.say('warn', NAME_WORDS);
      return;
    }
    this.work.flush();
    const isFirst = this.annotator === NOBODY;
    this.storage.setItem(ANNOTATOR, wanted);
    this.server.annotator = wanted;
    if (isFirst && this.document) this.work.drop(); // what nobody began is the work of the first who gives a name
    this.user = { ...this.user, name: wanted };
    if (isFirst && this.document) {
      this.document.author = wanted;
      this.work.flush();
    } else this.#leaveDocuments(); // what another person left unsubmitted stays a draft of that person
    this.changed();
  }

  #leaveDocuments() {
    this.#documents.clear();
    this.document = null;
    this.#look();
  }

  /** What the server says of itself; the schema is null where it is known already. */
  learnStatus({ state, uncertain_below: uncertainBelow, user, auth, strategies }, schema) {
    this.uncertainBelow = uncertainBelow;
    this.user = user ?? this.user;
    this.auth = auth ?? this.auth;
    this.strategies = strategies ?? this.strategies;
    if (schema) {
      this.work.flush();
      this.schema = schema;
      this.#leaveDocuments();
    }
    if (state === 'ready') this.training.start();
    this.work.arrive();
  }

  // --- what is on screen ---

  get frameCount() {
    return this.image?.frames.length ?? 0;
  }

  async #look() {
    const shown = this.view.shown();
    if (!shown) return;
    const image = await this.#imageOf(shown.sop);
    const now = this.view.shown();
    if (!now || (now.sop !== shown.sop && (await this.#imageOf(now.sop)) !== image)) return; // another came up meanwhile
    const other = image?.id !== this.image?.id;
    this.#passMessage();
    if (other) {
      this.work.flush(); // under the image that it belongs to
      this.document = null;
      this.edit.selected = null;
    }
    this.image = image;
    const before = this.frame;
    this.frame = image?.byFrame.get(`${now.sop}/${now.frame}`) ?? 0;
    const asked = image && this.schema && !this.document ? this.#documentOf(image) : null;
    const opened = await asked;
    const isWanted = opened && image.id === this.image?.id && this.#documents.get(image.id) === asked; // nobody was renamed meanwhile
    if (isWanted && !this.document) this.#takeUp(opened);
    this.#noteSeen();
    this.edit.rearm({ elsewhere: other || this.frame !== before });
    this.changed();
    if (opened) this.work.arrive();
  }

  #imageOf(sop) {
    if (!this.#images.has(sop)) {
      const asked = this.server.image(sop).then(
        image => {
          const indices = image.frames.map((f, index) => [`${f.sop_instance_uid}/${f.frame}`, index]);
          const known = { ...image, byFrame: new Map(indices) };
          for (const { sop_instance_uid: uid } of image.frames) this.#images.set(uid, Promise.resolve(known)); // of a stack
          return known;
        },
        error => {
          if (error.status === 404) return null; // not an angiogram
          this.#images.delete(sop); // asked again with the next frame, or after a while
          this.failAndTryAgain(error);
          return null;
        }
      );
      this.#images.set(sop, asked);
    }
    return this.#images.get(sop);
  }

  // asked for once, however many frames go by until the server answers
  #documentOf(image) {
    if (!this.#documents.has(image.id)) {
      const document = new LabelDocument({ schema: this.schema, image: image.image, frameCount: image.frames.length });
      document.author = this.annotator;
      const opened = this.work.open(document, image.id).then(isOpen => {
        if (!isOpen) this.#documents.delete(image.id); // asked again with the next frame, or after a while
        return isOpen ? document : null;
      });
      this.#documents.set(image.id, opened);
    }
    return this.#documents.get(image.id);
  }

  #takeUp(document) {
    this.#endDocument?.();
    this.#endDocument = document.onChange(frames => this.#documentChanged(frames));
    this.document = document;
    if (this.message === this.#trouble) this.message = null;
  }

  #documentChanged(frames) {
    this.work.autosave();
    this.#passMessage();
    this.#noteSeen();
    this.view.redraw(this, frames);
    if (!this.edit.dragging) for (const listener of this.#listeners) listener();
  }

  #noteSeen() {
    if (!this.document) return;
    if (!this.#seen.has(this.image.id)) this.#seen.set(this.image.id, new Set());
    if (Object.keys(this.document.points(this.frame)).length) this.#seen.get(this.image.id).add(this.frame);
  }

  /** Frames that "accept all" takes: tracked ones, and predicted ones that were on screen. */
  acceptableFrames() {
    const seen = this.#seen.get(this.image?.id);
    const open = this.document?.suggestedFrames() ?? [];
    return open.filter(frame => seen?.has(frame) || this.document.status(frame) === 'tracked');
  }

  /** Bring up a frame of the image on screen. */
  async show(frame) {
    const wanted = this.image?.frames[Math.min(Math.max(frame, 0), this.frameCount - 1)];
    if (wanted && (await this.view.show({ sop: wanted.sop_instance_uid, frame: wanted.frame }))) await this.#look();
  }

  /** Whether a frame has a suggestion that the model is not sure of. */
  isUncertain(frame) {
    const points = Object.values(this.document?.points(frame) ?? {});
    return points.some(point => !point.confirmed && isUncertain(point, this.uncertainBelow));
  }

  /** Say what is missing where there is nothing between labelled frames. */
  haveGaps(gaps) {
    if (!gaps.length) this.say('warn', 'Accept or edit two frames with others between them first: they are the ends.');
    return gaps.length > 0;
  }

  // --- what a View calls; see the head of this file ---

  get armed() {
    return this.edit.armed;
  }

  get selected() {
    return this.edit.selected;
  }

  marks(frame) {
    if (!this.document || this.edit.hidden) return [];
    const { schema, uncertainBelow, selected } = this;
    return marksOf(this.document.points(frame), { schema, uncertainBelow, selected });
  }

  pointAt(x, y, within) {
    return this.edit.pointAt(x, y, within);
  }

  click(x, y, within) {
    return this.edit.click(x, y, within);
  }

  beginDrag(name) {
    this.edit.beginDrag(name);
  }

  dragTo(x, y) {
    this.edit.dragTo(x, y);
  }

  endDrag() {
    this.edit.endDrag();
  }

  remove(name) {
    this.edit.remove(name);
  }
}
