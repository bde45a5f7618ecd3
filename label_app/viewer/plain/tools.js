// Mouse and buttons of the plain page: window/level, zoom, pan, frames and cine, on the buttons that OHIF has them on.

import { bindPictureKeys } from '../picture/picture-keys.js';

const CINE_MS = 1000 / 15;
const NOTCH = 100; // of a wheel, in its own units

const TOOLS = [
  ['window', 'Window level', 'Drag on the picture: contrast (right, left), brightness (up, down)'],
  ['zoom', 'Zoom', 'Drag on the picture. Also with the right button, or Ctrl and the wheel'],
  ['pan', 'Pan', 'Drag on the picture. Also with the middle button'],
];
const ACTIONS = [
  ['cine', 'Cine', 'Play and stop (C)'],
  ['invert', 'Invert', 'Swap black and white (I)'],
  ['reset', 'Reset view', 'The whole picture with its own grey levels (Space)'],
];

export class Tools {
  #tool = 'window';
  #timer = null;
  #wheel = 0;

  /** @param {HTMLElement} bar takes the buttons @param {Object} stage @param {Object} view see view.js */
  constructor(bar, stage, view) {
    this.bar = bar;
    this.stage = stage;
    this.view = view;
    for (const [id, label, title] of TOOLS) this.#button(id, label, title, () => this.#choose(id)).setAttribute('role', 'radio');
    for (const [id, label, title] of ACTIONS) this.#button(id, label, title, () => this.run(id));
    this.#choose('window');
    this.#bindMouse(stage.node);
    bindPictureKeys(window, {
      cine: () => this.run('cine'),
      invert: () => stage.invert(),
      reset: () => stage.reset(),
      zoom: factor => stage.zoom(factor),
      pan: (dx, dy) => stage.pan(dx, dy),
      window: (contrast, brightness) => stage.window(stage.contrast * contrast, stage.brightness * brightness),
    });
  }

  /** `cine`, `invert` or `reset`, as the buttons name them. */
  run(command) {
    if (command === 'cine') this.#toggleCine();
    if (command === 'invert') this.stage.invert();
    if (command === 'reset') this.stage.reset();
  }

  #button(id, label, title, onclick) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: label, title, onclick });
    button.dataset.tool = id;
    this.bar.append(button);
    return button;
  }

  #choose(tool) {
    this.#tool = tool;
    for (const button of this.bar.querySelectorAll('[role=radio]')) button.setAttribute('aria-checked', String(button.dataset.tool === tool));
  }

  #toggleCine() {
    const playing = this.#timer === null;
    if (playing) {
      let busy = false;
      this.#timer = setInterval(async () => {
        if (busy) return; // the frame before is still on its way
        busy = true;
        await this.view.step(1);
        busy = false;
      }, CINE_MS);
    } else {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    this.bar.querySelector('[data-tool=cine]').setAttribute('aria-pressed', String(playing));
  }

  #bindMouse(node) {
    let drag = null;
    node.addEventListener('pointerdown', event => {
      const tool = { 0: this.#tool, 1: 'pan', 2: 'zoom' }[event.button];
      if (!tool || drag) return;
      drag = { tool, id: event.pointerId, x: event.clientX, y: event.clientY, start: this.stage.placeOf(event) };
      node.setPointerCapture(event.pointerId);
    });
    node.addEventListener('pointermove', event => {
      if (drag?.id !== event.pointerId) return;
      this.#drag(drag, event.clientX - drag.x, event.clientY - drag.y);
      [drag.x, drag.y] = [event.clientX, event.clientY];
    });
    for (const end of ['pointerup', 'pointercancel']) node.addEventListener(end, event => (drag = drag?.id === event.pointerId ? null : drag));
    node.addEventListener('contextmenu', event => event.preventDefault());
    node.addEventListener('wheel', event => this.#turn(event), { passive: false });
  }

  #drag({ tool, start }, dx, dy) {
    const { stage } = this;
    if (tool === 'pan') stage.pan(dx, dy);
    if (tool === 'zoom') stage.zoom(Math.exp(dy / 200), start);
    if (tool === 'window') stage.window(stage.contrast * Math.exp(dx / 300), stage.brightness * Math.exp(-dy / 300));
  }

  #turn(event) {
    event.preventDefault();
    const delta = event.deltaMode === 1 ? event.deltaY * 33 : event.deltaY;
    if (event.ctrlKey) {
      this.stage.zoom(Math.exp(-delta / 400), this.stage.placeOf(event));
      return;
    }
    this.#wheel += delta;
    const notches = Math.trunc(this.#wheel / NOTCH);
    this.#wheel -= notches * NOTCH;
    if (notches) this.view.step(notches);
  }
}
