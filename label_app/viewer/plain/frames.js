// The frames of one image as bitmaps, fetched once and a little ahead of the reader.

const AHEAD = [1, 2, 3, -1, 4, 5, 6]; // in this order, relative to the frame on screen
const AT_ONCE = 3;
const KEEP_PIXELS = 64e6; // 256 MB of RGBA

export class Frames {
  #bitmaps = new Map(); // frame -> promise, the one used last at the end
  #abort = new AbortController();
  #running = 0;
  #around = 0;

  /** @param {string} imageId @param {number} count */
  constructor(imageId, count) {
    this.imageId = imageId;
    this.count = count;
  }

  /** The bitmap of a frame. Frames near it are fetched next. */
  async get(frame) {
    this.#around = frame;
    const bitmap = await this.#fetch(frame);
    this.#prefetch();
    return bitmap;
  }

  /** Give the memory back; requests under way are ended. */
  close() {
    this.#abort.abort();
    for (const promise of this.#bitmaps.values()) promise.then(bitmap => bitmap.close()).catch(() => {});
    this.#bitmaps.clear();
  }

  #fetch(frame) {
    const known = this.#bitmaps.get(frame);
    this.#bitmaps.delete(frame);
    const promise = known ?? this.#load(frame);
    this.#bitmaps.set(frame, promise);
    return promise;
  }

  async #load(frame) {
    try {
      const bitmap = await this.#ask(frame);
      this.#forget(bitmap.width * bitmap.height);
      return bitmap;
    } catch (error) {
      this.#bitmaps.delete(frame); // the next look tries again
      throw error;
    }
  }

  async #ask(frame) {
    const path = `/tavr/frames/${encodeURIComponent(this.imageId)}/${frame}.png`;
    let response;
    try {
      response = await fetch(path, { signal: this.#abort.signal });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Error('The server does not answer. Is it still running?');
    }
    if (!response.ok) {
      const words = await response.json().catch(() => ({}));
      throw new Error(`Frame ${frame + 1} cannot be shown: ${words.detail ?? `HTTP ${response.status}`}`);
    }
    return createImageBitmap(await response.blob());
  }

  #forget(pixels) {
    const most = Math.max(Math.floor(KEEP_PIXELS / pixels), 2);
    for (const frame of [...this.#bitmaps.keys()].slice(0, -most)) {
      this.#bitmaps.get(frame).then(bitmap => bitmap.close()).catch(() => {});
      this.#bitmaps.delete(frame);
    }
  }

  #prefetch() {
    while (this.#running < AT_ONCE && !this.#abort.signal.aborted) {
      const next = AHEAD.map(step => (this.#around + step + this.count) % this.count).find(frame => !this.#bitmaps.has(frame));
      if (next === undefined) return;
      this.#running += 1;
      const done = () => {
        this.#running -= 1;
        this.#prefetch();
      };
      this.#fetch(next).then(done, () => (this.#running -= 1));
    }
  }
}
