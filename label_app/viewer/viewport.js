// What is on screen: the active viewport, its image and frame, and the way from image pixels to the screen.

let services = null;

export function connect(servicesManager) {
  services = servicesManager.services;
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

/** Show the frame with that index of a stack. OHIF's overlay and scroll bar listen to scrolling only, so say that it scrolls. */
export async function showIndex(viewport, index) {
  const current = viewport.getCurrentImageIdIndex();
  if (index === current) return;
  const { Enums, triggerEvent } = window.cornerstone;
  const scrolled = { newImageIdIndex: index, imageId: viewport.getImageIds()[index], direction: Math.sign(index - current) };
  triggerEvent(viewport.element, Enums.Events.STACK_VIEWPORT_SCROLL, scrolled);
  await viewport.setImageIdIndex(index);
}

/** Call back whenever another frame or another viewport comes up; returns the function that ends it. */
export function onView(listener) {
  const { Events } = window.cornerstone.Enums;
  const names = [Events.STACK_NEW_IMAGE, Events.STACK_VIEWPORT_NEW_STACK, Events.VIEWPORT_NEW_IMAGE_SET].filter(Boolean);
  for (const name of names) document.addEventListener(name, listener, true);
  const grid = services.viewportGridService;
  const subscriptions = [grid.EVENTS.ACTIVE_VIEWPORT_ID_CHANGED, grid.EVENTS.GRID_STATE_CHANGED, grid.EVENTS.VIEWPORTS_READY]
    .filter(Boolean)
    .map(event => grid.subscribe(event, () => setTimeout(listener, 0)));
  return () => {
    for (const name of names) document.removeEventListener(name, listener, true);
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
}
