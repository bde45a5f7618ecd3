// Whether the PACS has the labels that were opened or submitted here. The server says so with each label, and is asked again until
// it is so.

const FIRST_MS = 2000;
const LONGEST_MS = 15_000;
const UNDER_WAY = ['waiting', 'delayed'];

export class Archiving {
  #known = new Map(); // image id -> {version, archive: 'waiting', 'delayed', 'archived' or 'impossible'; null = no label}
  #hasPacs = false;
  #timer = null;

  constructor(session) {
    this.session = session;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#known.clear();
  }

  /** Of the label on screen; null where there is none, or no PACS. */
  get state() {
    return this.#known.get(this.session.image?.id)?.archive ?? null;
  }

  /** The server has answered with the label of an image; without a PACS it says nothing of one. */
  learn(imageId, { version, archive }) {
    if (archive === undefined) return;
    this.#hasPacs = true;
    this.#known.set(imageId, { version, archive });
    this.#lookIn(FIRST_MS);
  }

  /** The server has a new version, which is on its way from now on. */
  submitted(imageId, version) {
    if (this.#hasPacs) this.learn(imageId, { version, archive: 'waiting' });
  }

  get #underWay() {
    return [...this.#known].filter(([, { archive }]) => UNDER_WAY.includes(archive)).map(([id]) => id);
  }

  #lookIn(pause) {
    clearTimeout(this.#timer);
    if (this.#underWay.length) this.#timer = setTimeout(() => this.#look(pause), pause);
  }

  async #look(pause) {
    const { session } = this;
    for (const id of this.#underWay) {
      const { version, archive } = await session.server.label(id).catch(() => ({})); // no answer: the next look may get one
      if (version >= this.#known.get(id)?.version) this.#known.set(id, { version, archive }); // else another was submitted meanwhile
    }
    this.#lookIn(Math.min(2 * pause, LONGEST_MS));
    session.changed();
  }
}
