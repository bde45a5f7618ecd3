// A bare page for the panel: a view that draws nothing and a server that answers from memory, so that every answer is known.

import { bindKeys } from '/viewer/session/keys.js';
import { mountPanel } from '/viewer/panel/panel.js';
import { bindPointer } from '/viewer/picture/pointer.js';
import { ServerError } from '/viewer/session/server.js';
import { Session } from '/viewer/session/session.js';

export const GROUPS = {
  anatomical: { title: 'Aortic root', color: '#ff4d4d', points: ['AA1', 'AA2', 'STJ1', 'STJ2'] },
  instrumental: { title: 'Delivery catheter', color: '#3ddc6b', points: ['CP', 'CM', 'CD', 'CT'] },
  contour: { title: 'Pigtail and valve frame', color: '#4d9bff', points: ['PT', 'FE1', 'FE2'] },
};
export const NAMES = Object.values(GROUPS).flatMap(group => group.points);
const SCHEMA = {
  name: 'TAVR11',
  groups: GROUPS,
  stages: [{ id: 'survey', title: 'Survey aortogram', groups: ['anatomical'] }],
  skeleton: [['AA1', 'AA2']],
  descriptions: { AA1: 'End of the annulus line' },
};

/** What the model says of a frame: eleven points, the contour group absent before frame 2, FE2 unsure. */
export function predicted(frame) {
  return Object.fromEntries(
    NAMES.map((name, i) => {
      const score = name === 'FE2' ? 0.6 : 0.95;
      if (i > 7 && frame < 2) return [name, { state: 'absent', score: 0.02, source: 'model', author: 'test' }];
      return [name, { x: 40 + 30 * i, y: 50 + 3 * frame, state: 'visible', score, spread: 4, source: 'model', author: 'test' }];
    })
  );
}

export class FakeServer {
  annotator = null;
  schema = SCHEMA;
  calls = []; // [name, ...arguments] of every request
  labels = new Map(); // image id -> {version, label, author, time}
  failing = {}; // name of a request -> ServerError
  task = null;
  sample = { id: 'cine-1', frame: 7, reason: 'the model is least sure here', remaining: 12 };
  archive = undefined; // how far the label is on its way to the PACS; there is none
  remarks = []; // of the image
  unsure = []; // frames that the model is not sure are of a TAVR
  held = null; // a promise that answers wait for
  roles = ['annotator', 'reviewer', 'admin'];

  constructor(frames) {
    this.frames = frames;
  }

  async #answer(name, args, make) {
    this.calls.push([name, ...args]);
    await this.held;
    if (this.failing[name]) throw this.failing[name];
    return structuredClone(make());
  }

  status() {
    return this.#answer('status', [], () => ({
      state: 'ready',
      uncertain_below: 0.75,
      schema: this.schema,
      model: { version: '1.2.0', weights_sha256: 'ab'.repeat(32) },
      user: { name: this.annotator ?? 'local', roles: this.roles },
      auth: 'none',
      strategies: ['hybrid', 'random'],
    }));
  }

  image(name) {
    const id = name.replace('sop-of-', '');
    const image = { rows: 512, columns: 512, number_of_frames: this.frames };
    const frames = Array.from({ length: this.frames }, (_, frame) => ({ sop_instance_uid: `sop-of-${id}`, frame }));
    return this.#answer('image', [name], () => ({ id, study: 's', series: 'r', image, remarks: this.remarks, frames }));
  }

  predict(id, frames, { groups, signal }) {
    return this.#answer('predict', [id, frames, groups], () => {
      signal.throwIfAborted();
      return { frames: frames.map(frame => ({ frame, typical: !this.unsure.includes(frame), points: predicted(frame) })) };
    });
  }

  track(id, from, to) {
    const between = Array.from({ length: to.frame - from.frame - 1 }, (_, i) => from.frame + 1 + i);
    return this.#answer('track', [id, from, to], () => ({ frames: between.map(frame => ({ frame, points: predicted(frame) })) }));
  }

  label(id) {
    const none = { version: 0, label: null, author: null, time: null, versions: [] };
    return this.#answer('label', [id], () => ({ ...(this.labels.get(id) ?? none), archive: this.archive }));
  }

  submit(id, label, { version, model }) {
    return this.#answer('submit', [id, label, version, model], () => {
      const now = this.labels.get(id)?.version ?? 0;
      if (now !== version) throw new ServerError('somebody else', 409, { version: now });
      this.put(id, label, this.annotator ?? 'local');
      return { version: now + 1 };
    });
  }

  /** Somebody submits. */
  put(id, label, author) {
    const version = (this.labels.get(id)?.version ?? 0) + 1;
    this.labels.set(id, { version, label, author, time: '2026-01-31T12:00:00+00:00', versions: [] });
  }

  next(strategy, content) {
    return this.#answer('next', [strategy, content], () => this.sample);
  }

  training() {
    return this.#answer('training', [], () => this.task);
  }

  train(content) {
    return this.#answer('train', [content], () => (this.task = { status: 'RUNNING', progress: { epoch: 2, max_epochs: 4 } }));
  }

  stopTraining() {
    return this.#answer('stopTraining', [], () => (this.task = { status: 'STOPPED' }));
  }

  models() {
    return this.#answer('models', [], () => [{ id: 'a', version: '1.2.0', labels: 12, scores: { validation: { score: 0.871 } }, active: true }]);
  }
}

export class FakeView {
  image = 'cine-1';
  frame = 0;
  drawn = []; // what redraw was asked for
  #listeners = new Set();

  shown() {
    return { sop: `sop-of-${this.image}`, frame: this.frame };
  }

  async show({ sop, frame }) {
    if (sop !== `sop-of-${this.image}`) return false;
    this.frame = frame;
    for (const listener of this.#listeners) listener();
    return true;
  }

  async open(image, frame) {
    this.image = image.id;
    await this.show({ sop: `sop-of-${image.id}`, frame });
  }

  onView(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  redraw(session, frames) {
    this.drawn.push(frames);
  }

  centre() {
    return { x: 256, y: 256 };
  }
}

/** Begin a visit as a browser tab does; the storages outlive it. */
export function visit({ frames = 12, server = new FakeServer(frames) } = {}) {
  const view = new FakeView();
  const session = new Session(view, { server });
  session.start();
  const main = document.querySelector('main'); // one native pixel is one pixel of the screen
  const surface = { element: () => main, toImage: (x, y) => [x, y], scale: () => 1, onHover() {} };
  const panel = mountPanel(document.getElementById('panel'), session);
  const ends = [panel, bindKeys(window, session), bindPointer(session, surface), () => session.stop()];
  Object.assign(window, { view, server, session, predicted, ServerError, leave: () => ends.forEach(end => end()) });
  return session;
}
