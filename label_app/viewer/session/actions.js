// Counts what an annotator does: every press of a key or of a pointer, every choice in a list, every turn of the wheel is one.

const MODIFIERS = ['Shift', 'Control', 'Alt', 'Meta', 'CapsLock'];
const KEPT = 'tavr.actions';
const WHEEL_PAUSE_MS = 300;

export class Actions {
  #wheel = 0; // time of the last turn

  /** @param {Storage} storage sessionStorage: the count outlives a page that is loaded anew for the next sample */
  constructor(storage) {
    this.storage = storage;
    this.count = Number(storage.getItem(KEPT) ?? 0);
  }

  reset() {
    this.count = 0;
    this.storage.removeItem(KEPT);
  }

  /** Begin to listen; returns the function that ends it. */
  listen(target) {
    const handlers = {
      pointerdown: () => this.#add(), // a drag is the press that begins it
      keydown: event => {
        if (!event.repeat && !MODIFIERS.includes(event.key)) this.#add();
      },
      change: event => {
        if (event.target.tagName === 'SELECT') this.#add(); // the press on its list is not the page's to see
      },
      wheel: event => {
        if (event.timeStamp - this.#wheel > WHEEL_PAUSE_MS) this.#add();
        this.#wheel = event.timeStamp;
      },
    };
    const options = { capture: true, passive: true };
    for (const [name, handler] of Object.entries(handlers)) target.addEventListener(name, handler, options);
    return () => {
      for (const [name, handler] of Object.entries(handlers)) target.removeEventListener(name, handler, options);
    };
  }

  #add() {
    this.count += 1;
    this.storage.setItem(KEPT, String(this.count));
  }
}
