// OHIF as a View (see session.js): the active viewport, its image and frame, and the way from image pixels to the screen.

let services = null;
let dataSource = null;
let commands = null;

/** Keep what OHIF hands to its extensions. */
export function connect({ servicesManager, extensionManager, commandsManager }) {
  services = servicesManager.services;
  dataSource = () => extensionManager.getActiveDataSource()[0];
  commands = commandsManager;
}

/** Cornerstone's active stack viewport, or null while there is none. */
export function activeViewport() {
  const id = services?.viewportGridService.getActiveViewportId();
  const viewport = id ? services.cornerstoneViewportService.getCornerstoneViewport(id) : null;
  return viewport?.getImageIds?.().length ? viewport : null;
}

/** SOP instance UID and 0-based frame within its file, from a cornerstone image id. */
export function parseImageId(imageId) {
  const sop = /\/instances\/([0-9.]+)/.exec(imageId)?.[1];
  const frame = /\/frames\/(\d+)/.exec(imageId)?.[1];
  return sop ? { sop, frame: frame ? Number(frame) - 1 : 0 } : null;
}

/** World coordinates of a point given in image pixels, whose 0 is the centre of the first pixel; cornerstone's is its corner. */
export function toWorld(imageId, x, y) {
  return Array.from(window.cornerstone.utilities.imageToWorldCoords(imageId, [x + 0.5, y + 0.5]));
}

/** The inverse of toWorld. */
export function toPixel(imageId, world) {
  const [x, y] = window.cornerstone.utilities.worldToImageCoords(imageId, world);
  return [x - 0.5, y - 0.5];
}

/** The way between native pixels of the picture in a viewport and CSS pixels of its element, whatever zoom, pan, rotation and flip. */
export function mapping(viewport) {
  const imageId = viewport.getCornerstoneImage()?.imageId ?? viewport.getCurrentImageId();
  const toScreen = (x, y) => viewport.worldToCanvas(toWorld(imageId, x, y));
  const toImage = (left, top) => toPixel(imageId, viewport.canvasToWorld([left, top]));
  const [[x0, y0], [x1, y1], [x2, y2]] = [toScreen(0, 0), toScreen(1, 0), toScreen(0, 1)];
  const scale = Math.sqrt(Math.hypot(x1 - x0, y1 - y0) * Math.hypot(x2 - x0, y2 - y0)) || 1;
  return { imageId, toScreen, toImage, scale };
}

/** Show the frame with that index of a stack. OHIF's overlay and scroll bar listen to scrolling only, so say that it scrolls. */
export async function showIndex(viewport, index) {
  const current = viewport.getCurrentImageIdIndex();
  if (index === current) return;
  const { Enums, triggerEvent } = window.cornerstone;
  const scrolled = { newImageIdIndex: index, imageId: viewport.getImageIds()[index], direction: Math.sign(index - current) };
  triggerEvent(viewport.element, Enums.Events.STACK_VIEWPORT_SCROLL, scrolled);
  await viewport.setImageIdIndex(index);
}

const same = (a, b) => a?.sop === b?.sop && a?.frame === b?.frame;
const indexOf = (viewport, place) => viewport.getImageIds().findIndex(id => same(parseImageId(id), place));

const LOOK_MS = 200;
const INPUTS = ['pointerdown', 'keydown', 'wheel'];

// once, when the annotator does something
function onNextInput(act) {
  const done = () => {
    for (const name of INPUTS) window.removeEventListener(name, done, true);
    act();
  };
  for (const name of INPUTS) window.addEventListener(name, done, true);
}

/** The View of session.js over OHIF's active viewport. */
export class OhifView {
  #goal = null; // {sop, frame} that is on its way to the screen, maybe through another study
  #held = null; // the same once it was there: OHIF sets its stack anew while other series come in, and begins with the first frame
  #addressed = null; // the goal that the page's address named: it may not be there
  #arrived = null;
  #timer = null;

  /** @param {function()} drawNow draws the points of the active viewport anew */
  constructor(drawNow) {
    this.drawNow = drawNow;
  }

  /** Whether another study is being opened: OHIF leaves the mode and enters it again, and the session goes along. */
  get travelling() {
    return this.#goal !== null;
  }

  /** Whether what is on screen is what is to stay there. */
  get settled() {
    return !this.#goal && (!this.#held || same(this.shown(), this.#held));
  }

  shown() {
    const viewport = activeViewport();
    return viewport ? parseImageId(viewport.getCurrentImageId() ?? '') : null;
  }

  /** UID of the study that the picture belongs to. */
  study() {
    return /\/studies\/([0-9.]+)/.exec(activeViewport()?.getCurrentImageId() ?? '')?.[1] ?? null;
  }

  async show(place) {
    this.#held = null;
    this.#giveUpAddress();
    const viewport = activeViewport();
    const index = viewport ? indexOf(viewport, place) : -1;
    if (index < 0) return false;
    await showIndex(viewport, index);
    return true;
  }

  /** Bring up another image: beside what is open where it belongs to the same study, else by OHIF's own navigation. */
  async open(image, frame) {
    const { sop_instance_uid: sop, frame: inFile } = image.frames[frame];
    this.#goal = { sop, frame: inFile };
    this.#held = null;
    const up = new Promise(resolve => (this.#arrived = resolve));
    if (!this.#place()) {
      const query = new URLSearchParams({ StudyInstanceUIDs: image.study, initialSOPInstanceUID: sop });
      commands.runCommand('navigateHistory', { to: `/tavr?${query}#frame=${inFile}` });
    }
    await up;
  }

  /** Call whenever OHIF may have come closer to the goal. */
  advance() {
    const place = this.#goal ?? this.#held;
    const viewport = place && activeViewport();
    const index = viewport ? indexOf(viewport, place) : -1;
    if (index < 0 || !viewport.getCornerstoneImage()) return;
    if (viewport.getCurrentImageIdIndex() !== index) {
      showIndex(viewport, index);
      return;
    }
    if (!this.#goal || !same(parseImageId(viewport.getCornerstoneImage().imageId), place)) return;
    this.#goal = null;
    this.#hold(place);
    this.#arrived?.();
  }

  // until the annotator does something
  #hold(place) {
    this.#held = place;
    onNextInput(() => {
      if (this.#held === place) this.#held = null;
    });
    this.#watch();
  }

  /** After loading: the frame that the address names. */
  begin() {
    const frame = /^#frame=(\d+)$/.exec(location.hash)?.[1];
    const sop = new URLSearchParams(location.search).get('initialSOPInstanceUID');
    if (!this.#goal && frame && sop) {
      this.#goal = this.#addressed = { sop, frame: Number(frame) };
      onNextInput(() => this.#giveUpAddress());
    }
    this.advance();
    this.#watch();
  }

  #giveUpAddress() {
    if (this.#goal === this.#addressed) this.#goal = null;
  }

  // OHIF drops a frame asked for while it sets up its stack, and no event follows: look again, however long a slow machine takes
  #watch() {
    this.#timer ??= setInterval(() => {
      if (this.#goal || this.#held) {
        this.advance();
        return;
      }
      clearInterval(this.#timer);
      this.#timer = null;
    }, LOOK_MS);
  }

  // a display set of the study that is open
  #place() {
    const { displaySetService, viewportGridService } = services;
    const set = displaySetService.getActiveDisplaySets().find(({ instances, sopClassUids, SOPInstanceUID }) =>
      instances?.some(instance => instance.SOPInstanceUID === this.#goal.sop) || SOPInstanceUID === this.#goal.sop
    );
    if (!set) return false;
    const viewportId = viewportGridService.getActiveViewportId();
    viewportGridService.setDisplaySetsForViewport({ viewportId, displaySetInstanceUIDs: [set.displaySetInstanceUID] });
    this.advance();
    return true;
  }

  onView(listener) {
    const { Events } = window.cornerstone.Enums;
    const names = [Events.STACK_NEW_IMAGE, Events.STACK_VIEWPORT_NEW_STACK, Events.VIEWPORT_NEW_IMAGE_SET].filter(Boolean);
    const changed = () => {
      this.advance();
      listener();
    };
    for (const name of names) document.addEventListener(name, changed, true);
    const grid = services.viewportGridService;
    const subscriptions = [grid.EVENTS.ACTIVE_VIEWPORT_ID_CHANGED, grid.EVENTS.GRID_STATE_CHANGED, grid.EVENTS.VIEWPORTS_READY]
      .filter(Boolean)
      .map(event => grid.subscribe(event, () => setTimeout(changed, 0)));
    return () => {
      for (const name of names) document.removeEventListener(name, changed, true);
      for (const subscription of subscriptions) subscription.unsubscribe();
    };
  }

  redraw(session, frames) {
    if (frames === null || frames.includes(session.frame)) this.drawNow();
  }

  centre() {
    const viewport = activeViewport();
    if (!viewport) return null;
    const { clientWidth, clientHeight } = viewport.element;
    const [x, y] = mapping(viewport).toImage(clientWidth / 2, clientHeight / 2);
    return { x, y };
  }
}

/** OHIF's active viewport as the Picture of picture-keys.js. */
export const ohifPicture = {
  cine() {
    const { cineService, viewportGridService } = services;
    const playing = cineService.getState().isCineEnabled;
    commands.runCommand('toggleCine');
    if (!playing) cineService.setCine({ id: viewportGridService.getActiveViewportId(), isPlaying: true });
  },
  invert: () => commands.runCommand('invertViewport'),
  reset: () => commands.runCommand('resetViewport'),
  zoom: factor => change(viewport => viewport.setZoom(viewport.getZoom() * factor)),
  pan: (dx, dy) =>
    change(viewport => {
      const [x, y] = viewport.getPan();
      viewport.setPan([x + dx, y + dy]);
    }),
  window: (contrast, brightness) =>
    change(viewport => {
      const { lower, upper } = viewport.getProperties().voiRange;
      const width = (upper - lower) / contrast;
      const centre = (lower + upper) / 2 - (brightness - 1) * width;
      viewport.setProperties({ voiRange: { lower: centre - width / 2, upper: centre + width / 2 } });
    }),
};

function change(how) {
  const viewport = activeViewport();
  if (!viewport) return;
  how(viewport);
  viewport.render();
}
