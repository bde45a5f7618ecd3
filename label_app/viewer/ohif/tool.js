// The cornerstone tool that draws the points, and the pointer on them. The points live in the session's document and nowhere else:
// cornerstone asks for a drawing when camera or image have changed, and gets that of the frame which is then on the screen.

import { drawMarks } from '../picture/drawing.js';
import { bindPointer } from '../picture/pointer.js';
import { activeViewport, mapping, parseImageId } from './viewport.js';

export const TOOL_NAME = 'TavrKeypoints';
const LAYER = 'tavr-keypoints';

let session = null;
let hovered = null;
const layers = new WeakMap(); // viewport -> the SVG group of its points

/** Make the tool known to cornerstone, once. */
export function registerTool() {
  const tools = window.cornerstoneTools;
  if (!tools.__tavrKeypoints) {
    tools.__tavrKeypoints = defineTool(tools);
    tools.addTool(tools.__tavrKeypoints);
    // cornerstone asks for a drawing one frame of the screen after the picture: too late for points that stick to it
    document.addEventListener(window.cornerstone.Enums.Events.IMAGE_RENDERED, drawWithPicture, true);
  }
}

function drawWithPicture(event) {
  const viewport = window.cornerstone.getEnabledElement(event.detail.element)?.viewport;
  const layer = viewport && layers.get(viewport);
  if (layer?.isConnected) draw(viewport, layer);
}

/** Draw the points of a session and let the pointer work on them; returns the function that ends it. */
export function drawSession(drawn) {
  session = drawn;
  const unbind = bindPointer(drawn, {
    element: () => activeViewport()?.element ?? null,
    toImage: (left, top) => mapping(activeViewport()).toImage(left, top),
    scale: () => mapping(activeViewport()).scale,
    onHover: name => {
      hovered = name;
      drawNow();
    },
  });
  return () => {
    unbind();
    session = null;
    drawNow();
  };
}

/** Draw the points of the active viewport anew. */
export function drawNow() {
  const viewport = activeViewport();
  const layer = viewport && layers.get(viewport);
  if (layer?.isConnected) draw(viewport, layer);
  else if (viewport) window.cornerstoneTools.utilities.triggerAnnotationRenderForViewportIds([viewport.id]);
}

function defineTool(tools) {
  class KeypointsTool extends tools.BaseTool {
    static toolName = TOOL_NAME;

    constructor(toolProps = {}, defaultToolProps = { supportedInteractionTypes: ['Mouse', 'Touch'], configuration: {} }) {
      super(toolProps, defaultToolProps);
    }

    renderAnnotation({ viewport }, svg) {
      if (frameOf(viewport) === null) return false;
      const known = svg.getSvgNode(LAYER);
      const layer = known ?? document.createElementNS('http://www.w3.org/2000/svg', 'g');
      if (known) svg.setNodeTouched(LAYER);
      else svg.appendNode(layer, LAYER);
      layers.set(viewport, layer);
      draw(viewport, layer);
      return true;
    }
  }
  return KeypointsTool;
}

function draw(viewport, layer) {
  const frame = frameOf(viewport);
  const { toScreen, scale } = mapping(viewport);
  const marks = frame === null ? [] : session.marks(frame);
  drawMarks(layer, { frame, marks, skeleton: session?.schema?.skeleton ?? [], toScreen, scale, hovered });
}

// the frame of the session's image whose picture the viewport shows: not the one that it is loading
function frameOf(viewport) {
  const shown = parseImageId(viewport.getCornerstoneImage?.()?.imageId ?? '');
  if (!shown || !session?.image) return null;
  return session.image.byFrame.get(`${shown.sop}/${shown.frame}`) ?? null;
}
