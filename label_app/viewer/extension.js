// The OHIF extension: the panel and the tool. OHIF imports this file as it is; there is no bundler and no React to import.

import { mountPanel } from './panel.js';
import { Session } from './session.js';
import { registerTool } from './tool.js';
import { activeViewport, connect, showIndex } from './viewport.js';

export const EXTENSION_ID = 'tavr-keypoints';
let session = null;
let services = null;

// a React 18 element made by hand: a panel only has to give its node away
function hostElement(ref) {
  const props = { className: 'tavr-host', style: { height: '100%' } };
  return { $$typeof: Symbol.for('react.element'), type: 'div', key: null, ref, props, _owner: null };
}

// OHIF makes the panel's node before it enters the mode, or after: whichever comes second mounts
let host = null;
let unmount = null;
function hostPanel(node) {
  host = node;
  mount();
}
function mount() {
  unmount?.();
  unmount = host && session ? mountPanel(host, session) : null;
}

function addStyles() {
  if (document.getElementById('tavr-styles')) return;
  const link = Object.assign(document.createElement('link'), {
    id: 'tavr-styles',
    rel: 'stylesheet',
    href: new URL('panel.css', import.meta.url).href,
  });
  document.head.append(link);
}

// OHIF's own player asks stack viewports for volumes and fails; this one steps through the stack
function playStacks(cineService) {
  const timers = new Map();
  const stopClip = element => {
    clearInterval(timers.get(element));
    timers.delete(element);
  };
  const playClip = (element, { framesPerSecond = 15 } = {}) => {
    stopClip(element);
    let busy = false;
    const step = async () => {
      if (busy) return; // the frame before is still being decoded
      busy = true;
      try {
        const { viewport } = window.cornerstone.getEnabledElement(element);
        await showIndex(viewport, (viewport.getCurrentImageIdIndex() + 1) % viewport.getImageIds().length);
      } catch {
        stopClip(element); // the viewport is gone
      } finally {
        busy = false;
      }
    };
    timers.set(element, setInterval(step, 1000 / Math.abs(framesPerSecond)));
  };
  cineService.setServiceImplementation({ playClip, stopClip, getSyncedViewports: () => [] });
}

export default {
  id: EXTENSION_ID,

  preRegistration({ servicesManager }) {
    services = servicesManager.services;
    connect(servicesManager);
  },

  onModeEnter() {
    addStyles();
    registerTool();
    playStacks(services.cineService);
    session = new Session();
    session.start();
    mount();
    // for tests and for the browser's console
    window.tavr = { session, activeViewport };
  },

  onModeExit() {
    session?.stop();
    session = null;
    mount();
  },

  getPanelModule: () => [
    { name: 'keypoints', iconName: 'tab-linear', iconLabel: 'Keypoints', label: 'Keypoints', component: () => hostElement(hostPanel) },
  ],

  getCommandsModule: () => ({
    definitions: { predictKeypoints: { commandFn: () => session?.predictSeries() } },
    defaultContext: 'DEFAULT',
  }),
};
