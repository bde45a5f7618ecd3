// A canvas for one frame, and the way from its pixels to the screen: zoom, pan, grey levels. The SVG above it is for the points.

const ZOOM_MOST = 40; // screen pixels per native pixel
const ZOOM_LEAST = 0.05;

export class Stage {
  scale = 1;
  offset = [0, 0]; // of the picture's corner, in CSS pixels
  contrast = 1;
  brightness = 1;
  inverted = false;
  #bitmap = null;
  #fitted = true;
  #listeners = new Set();

  /** @param {HTMLElement} node is filled with the canvas and the SVG */
  constructor(node) {
    this.node = node;
    this.canvas = document.createElement('canvas');
    this.svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    this.layer = document.createElementNS('http://www.w3.org/2000/svg', 'g');
    this.svg.append(this.layer);
    node.append(this.canvas, this.svg);
    new ResizeObserver(() => this.#resize()).observe(node);
  }

  /** Call back after every change of what is seen; returns the function that ends it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Width and height of the picture in native pixels, or null. */
  get size() {
    return this.#bitmap && [this.#bitmap.width, this.#bitmap.height];
  }

  /** Draw a bitmap, or nothing; a picture of another size is fitted into the stage. */
  show(bitmap) {
    const same = bitmap && this.#bitmap && bitmap.width === this.#bitmap.width && bitmap.height === this.#bitmap.height;
    this.#bitmap = bitmap;
    if (bitmap && !same) this.fit();
    else this.#draw();
  }

  /** Native pixel (0 = centre of the first) -> CSS pixels from the stage's corner. */
  toScreen(x, y) {
    return [this.offset[0] + (x + 0.5) * this.scale, this.offset[1] + (y + 0.5) * this.scale];
  }

  /** The inverse of toScreen. */
  toImage(left, top) {
    return [(left - this.offset[0]) / this.scale - 0.5, (top - this.offset[1]) / this.scale - 0.5];
  }

  /** Where an event happened, in CSS pixels from the stage's corner. */
  placeOf(event) {
    const { left, top } = this.node.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  /** The whole picture, as large as it goes, with its own grey levels. */
  reset() {
    [this.contrast, this.brightness, this.inverted] = [1, 1, false];
    this.fit();
  }

  fit() {
    if (!this.#bitmap) return;
    const { clientWidth, clientHeight } = this.node;
    const { width, height } = this.#bitmap;
    this.scale = Math.min(clientWidth / width, clientHeight / height) || 1;
    this.offset = [(clientWidth - width * this.scale) / 2, (clientHeight - height * this.scale) / 2];
    this.#fitted = true;
    this.#draw();
  }

  /** Zoom by a factor; what lies at `place` stays there. */
  zoom(factor, place = [this.node.clientWidth / 2, this.node.clientHeight / 2]) {
    const scale = Math.min(Math.max(this.scale * factor, ZOOM_LEAST), ZOOM_MOST);
    this.offset = this.offset.map((o, i) => place[i] - ((place[i] - o) * scale) / this.scale);
    this.scale = scale;
    this.#fitted = false;
    this.#draw();
  }

  pan(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.#fitted = false;
    this.#draw();
  }

  /** Grey levels: contrast and brightness as factors. */
  window(contrast, brightness) {
    this.contrast = Math.min(Math.max(contrast, 0.2), 8);
    this.brightness = Math.min(Math.max(brightness, 0.1), 6);
    this.#draw();
  }

  invert() {
    this.inverted = !this.inverted;
    this.#draw();
  }

  #resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.node.clientWidth * ratio);
    this.canvas.height = Math.round(this.node.clientHeight * ratio);
    if (this.#fitted) this.fit();
    else this.#draw();
  }

  #draw() {
    const context = this.canvas.getContext('2d');
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.#bitmap) {
      context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.offset[0] * ratio, this.offset[1] * ratio);
      context.imageSmoothingQuality = 'high';
      context.drawImage(this.#bitmap, 0, 0);
    }
    // a style and not the context's filter, which Safari does not know
    this.canvas.style.filter = `contrast(${this.contrast}) brightness(${this.brightness})${this.inverted ? ' invert(1)' : ''}`;
    for (const listener of this.#listeners) listener();
  }
}
