// The pointer on the picture: a press on a point moves it, a click places the armed one, a right click takes one away.
//
// It listens before OHIF and the plain page do and keeps from them what is meant for a point; every other press, and one that moves
// and began on no point, stays theirs: window/level, zoom, pan.

const REACH = { mouse: 12, pen: 14, touch: 24 }; // screen pixels
const CLICK = 4; // a press that moves less is a click
const SWALLOWED = ['mousedown', 'mouseup', 'click', 'dblclick', 'contextmenu', 'touchstart', 'touchmove', 'touchend'];

/**
 * Begin to listen.
 * @param {Object} session see session.js
 * @param {{element: function(): ?HTMLElement, toImage: function(number, number): number[], scale: function(): number,
 *   onHover: function(?string)}} surface `element`: what the pointer must be on, null while there is none; `toImage`: from CSS
 *   pixels, counted from the element's corner, to native pixels; `scale`: CSS pixels per native pixel
 * @returns {function()} ends it
 */
export function bindPointer(session, surface) {
  const pointer = new Pointer(session, surface);
  const handlers = {
    pointerdown: event => pointer.down(event),
    pointermove: event => pointer.move(event),
    pointerup: event => pointer.up(event),
    pointercancel: event => pointer.cancel(event),
    ...Object.fromEntries(SWALLOWED.map(name => [name, event => pointer.swallow(event)])),
  };
  const options = { capture: true, passive: false };
  for (const [name, handler] of Object.entries(handlers)) document.addEventListener(name, handler, options);
  return () => {
    for (const [name, handler] of Object.entries(handlers)) document.removeEventListener(name, handler, options);
    pointer.hover(null);
  };
}

class Pointer {
  #press = null; // {id, at, button, name, moved, grip} of the press under way
  #ours = false; // the last press was kept from the page: so is all that the browser makes of it
  #hovered = null;
  #cursor = null;

  constructor(session, surface) {
    this.session = session;
    this.surface = surface;
  }

  down(event) {
    if (!this.#press) this.#ours = false;
    const spot = this.#spot(event);
    if (this.#press || !spot || !event.isPrimary || event.button === 1) return;
    const name = this.session.pointAt(...spot.image, spot.within);
    this.#press = { id: event.pointerId, at: spot.screen, button: event.button, name, moved: false };
    if (!name) return;
    this.#keep(event);
    document.activeElement?.blur?.(); // keys are for the picture now
    if (event.button === 0) {
      const mark = this.session.marks(this.session.frame).find(mark => mark.name === name);
      this.#press.grip = [mark.x - spot.image[0], mark.y - spot.image[1]]; // a point does not jump to the pointer
    }
  }

  move(event) {
    const press = this.#press;
    if (!press) {
      this.hover(event);
      return;
    }
    if (press.id !== event.pointerId) return;
    const spot = this.#spot(event, { outside: true });
    if (!spot) return;
    if (!press.moved && distance(spot.screen, press.at) >= CLICK) {
      press.moved = true;
      if (press.grip) this.session.beginDrag(press.name);
    }
    if (!press.name) return;
    this.#keep(event);
    if (press.moved && press.grip) this.session.dragTo(spot.image[0] + press.grip[0], spot.image[1] + press.grip[1]);
  }

  up(event) {
    const press = this.#press;
    if (!press || press.id !== event.pointerId) return;
    this.#press = null;
    if (press.name) this.#keep(event);
    const spot = this.#spot(event, { outside: true });
    if (press.moved) {
      if (press.grip) this.session.endDrag();
    } else if (spot && press.button === 2) {
      if (press.name) this.session.remove(press.name);
    } else if (spot && this.session.click(...spot.image, spot.within)) {
      this.#ours = true; // two points placed quickly are no double click
    }
    this.hover(event);
  }

  /** The system took the pointer away in the middle of a press. */
  cancel(event) {
    if (this.#press?.id !== event.pointerId) return;
    if (this.#press.moved && this.#press.grip) this.session.endDrag();
    this.#press = null;
  }

  swallow(event) {
    if (this.#ours && this.#spot(event)) this.#keep(event);
  }

  /** Show what a press would do: the cursor, and the name and score of the point below. */
  hover(event) {
    const spot = event && this.#spot(event);
    const name = spot ? this.session.pointAt(...spot.image, spot.within) : null;
    if (name !== this.#hovered) {
      this.#hovered = name;
      this.surface.onHover(name);
    }
    this.#setCursor(spot && (name ? 'grab' : this.session.armed ? 'crosshair' : null));
  }

  // the page sets cursors of its own: ours goes above, and away without a trace
  #setCursor(cursor) {
    const element = this.surface.element();
    if (!element || (cursor ?? null) === this.#cursor) return;
    this.#cursor = cursor ?? null;
    if (cursor) element.dataset.tavrCursor = cursor;
    else delete element.dataset.tavrCursor;
  }

  #keep(event) {
    this.#ours = true;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  #spot(event, { outside = false } = {}) {
    const element = this.surface.element();
    if (!element || (!outside && !element.contains(event.target))) return null;
    const { left, top } = element.getBoundingClientRect();
    const screen = [event.clientX - left, event.clientY - top];
    const within = (REACH[event.pointerType] ?? REACH.mouse) / this.surface.scale();
    return { screen, image: this.surface.toImage(...screen), within };
  }
}

const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);
