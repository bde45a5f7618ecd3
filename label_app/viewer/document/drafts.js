// Unsubmitted work, kept in the browser until it is submitted: a closed tab or a crashed browser loses nothing. The storage belongs
// to the server's address; a draft belongs to an image and a person. It holds points and ids, no names of patients.

const PREFIX = 'tavr.draft';

export class Drafts {
  /** @param {Storage} storage localStorage, which writes before a closing tab is gone */
  constructor(storage) {
    this.storage = storage;
  }

  #key(imageId, user) {
    return [PREFIX, encodeURIComponent(user), imageId].join('/');
  }

  /** Keep a draft; null removes it. Returns false where the browser has no room. */
  keep(imageId, user, draft) {
    try {
      if (draft) this.storage.setItem(this.#key(imageId, user), JSON.stringify({ ...draft, time: new Date().toISOString() }));
      else this.storage.removeItem(this.#key(imageId, user));
      return true;
    } catch {
      return false;
    }
  }

  /** Frames of this person's drafts, over all images: [{id, frame}]. */
  frames(user) {
    const prefix = this.#key('', user);
    const ids = Object.keys(this.storage).filter(key => key.startsWith(prefix)).map(key => key.slice(prefix.length));
    return ids.flatMap(id => (this.read(id, user)?.frames ?? []).map(({ frame }) => ({ id, frame })));
  }

  /** The draft of an image, or null. A damaged one counts as none. */
  read(imageId, user) {
    try {
      const draft = JSON.parse(this.storage.getItem(this.#key(imageId, user)));
      return Array.isArray(draft?.frames) && Array.isArray(draft.base) ? draft : null;
    } catch {
      return null;
    }
  }
}
