// The cornerstone tool that draws the points. One annotation per point and frame, so that a later tool can move them.

import { isUncertain } from './points.js';
import { parseImageId, toWorld } from './viewport.js';

export const TOOL_NAME = 'TavrKeypoints';
const RADIUS = 6;
const DIMMED = 0.45;

let style = { schema: null, uncertainBelow: 0 };

/** Colours and threshold that the tool draws by. */
export function setStyle(schema, uncertainBelow) {
  style = { schema, uncertainBelow };
}

/** Make the tool known to cornerstone, once. */
export function registerTool() {
  const tools = window.cornerstoneTools;
  if (!tools.__tavrKeypoints) {
    tools.__tavrKeypoints = defineTool(tools);
    tools.addTool(tools.__tavrKeypoints);
  }
}

function defineTool(tools) {
  class KeypointsTool extends tools.ProbeTool {
    static toolName = TOOL_NAME;

    // a field and not a method: ProbeTool's own is a field, which would hide it
    renderAnnotation = (enabledElement, svg) => {
      const { viewport } = enabledElement;
      const all = tools.annotation.state.getAnnotations(TOOL_NAME, viewport.element) ?? [];
      const shown = this.filterInteractableAnnotationsForElement(viewport.element, all) ?? [];
      if (!shown.length || !style.schema) return false;
      const places = new Map(shown.map(a => [a.data.label, viewport.worldToCanvas(a.data.handles.points[0])]));
      drawSkeleton(tools.drawing, svg, shown[0].annotationUID, places);
      for (const annotation of shown) drawPoint(tools.drawing, svg, annotation, places.get(annotation.data.label));
      return true;
    };
  }
  return KeypointsTool;
}

function drawSkeleton(drawing, svg, uid, places) {
  for (const [from, to] of style.schema.skeleton) {
    if (!places.has(from) || !places.has(to)) continue;
    const options = { color: withOpacity(style.schema.colorOf(from), 0.5), lineWidth: 1.5, lineDash: '2,4' };
    drawing.drawLine(svg, uid, `edge-${from}-${to}`, places.get(from), places.get(to), options);
  }
}

function drawPoint(drawing, svg, annotation, place) {
  const { label, point } = annotation.data;
  const opacity = isUncertain(point, style.uncertainBelow) ? DIMMED : 1;
  const color = withOpacity(style.schema.colorOf(label), opacity);
  const uid = annotation.annotationUID;
  drawing.drawCircle(svg, uid, 'halo', place, RADIUS, { color: 'rgba(0,0,0,0.55)', lineWidth: 4 });
  drawing.drawCircle(svg, uid, 'ring', place, RADIUS, { color, lineWidth: 2 });
  drawing.drawCircle(svg, uid, 'centre', place, 1.2, { color, lineWidth: 1, fill: color });
  drawName(svg, uid, label, [place[0] + RADIUS + 5, place[1] + 4], color);
}

// cornerstone's text box has a background and no outline; a name must be readable on bone and on contrast alike
function drawName(svg, uid, text, [x, y], fill) {
  const id = `${uid}-name`;
  const known = svg.getSvgNode(id);
  const node = known ?? document.createElementNS('http://www.w3.org/2000/svg', 'text');
  const attributes = {
    x,
    y,
    fill,
    stroke: 'rgba(0,0,0,0.75)',
    'stroke-width': 3,
    'paint-order': 'stroke',
    'font-size': 13,
    'font-weight': 600,
    'font-family': 'Inter, system-ui, sans-serif',
    'data-tavr-point': text,
  };
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  if (known) svg.setNodeTouched(id);
  else svg.appendNode(node, id);
}

function withOpacity(hex, opacity) {
  const [r, g, b] = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

/** Make the annotations of one frame those of its points. */
export function syncFrame(viewport, imageId, points) {
  const { state } = window.cornerstoneTools.annotation;
  for (const annotation of annotationsOf(imageId)) state.removeAnnotation(annotation.annotationUID);
  for (const [name, point] of Object.entries(points ?? {})) {
    if (point.state === 'visible') state.addAnnotation(makeAnnotation(viewport, imageId, name, point), viewport.element);
  }
}

function annotationsOf(imageId) {
  const wanted = parseImageId(imageId);
  return window.cornerstoneTools.annotation.state.getAllAnnotations().filter(({ metadata }) => {
    if (metadata.toolName !== TOOL_NAME) return false;
    const its = parseImageId(metadata.referencedImageId);
    return its.sop === wanted.sop && its.frame === wanted.frame;
  });
}

function makeAnnotation(viewport, imageId, name, point) {
  const { viewPlaneNormal, viewUp } = viewport.getCamera();
  return {
    annotationUID: window.cornerstone.utilities.uuidv4(),
    highlighted: false,
    invalidated: false,
    isLocked: true,
    isVisible: true,
    metadata: {
      toolName: TOOL_NAME,
      viewPlaneNormal: [...viewPlaneNormal],
      viewUp: [...viewUp],
      FrameOfReferenceUID: viewport.getFrameOfReferenceUID(),
      referencedImageId: imageId,
    },
    data: { label: name, point, handles: { points: [toWorld(imageId, point.x, point.y)], activeHandleIndex: null }, cachedStats: {} },
  };
}
