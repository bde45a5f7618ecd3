// The OHIF extension: the panel, the tool and the session of a visit. OHIF imports this file as it is; there is no bundler and no
// React to import.

import { addressFollower } from '../session/address.js';
import { bindKeys } from '../session/keys.js';
import { mountPanel } from '../panel/panel.js';
import { bindPictureKeys } from '../picture/picture-keys.js';
import { Session } from '../session/session.js';
import { drawNow, drawSession, registerTool } from './tool.js';
import { OhifView, activeViewport, connect, ohifPicture, showIndex } from './viewport.js';

export const EXTENSION_ID = 'tavr-keypoints';
const STYLES = ['../panel/panel.css', '../picture/picture.css'];

let services = null;
const view = new OhifView(drawNow);
let session = null;
let ends = [];

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
  for (const name of STYLES) {
    const id = `tavr-${name}`;
    if (document.getElementById(id)) continue;
    const href = new URL(name, import.meta.url).href;
    document.head.append(Object.assign(document.createElement('link'), { id, rel: 'stylesheet', href }));
  }
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

function followAddress() {
  const { follow, end } = addressFollower(() => {
    const shown = view.shown();
    const study = view.study();
    if (!shown || !study || !view.settled || !session) return null;
    const query = new URLSearchParams({ StudyInstanceUIDs: study, initialSOPInstanceUID: shown.sop });
    return `${location.pathname}?${query}#frame=${shown.frame}`;
  });
  const endWatching = view.onView(follow);
  return () => {
    endWatching();
    end();
  };
}

export default {
  id: EXTENSION_ID,

  preRegistration(managers) {
    services = managers.servicesManager.services;
    connect(managers);
  },

  onModeEnter() {
    addStyles();
    registerTool();
    playStacks(services.cineService);
    const fresh = !session; // on the way to another study it stays
    session ??= new Session(view);
    if (fresh) session.start();
    ends = [drawSession(session), bindKeys(window, session), bindPictureKeys(window, ohifPicture), followAddress()];
    mount();
    view.begin();
    // for tests and for the browser's console
    window.tavr = { session, view, activeViewport };
  },

  onModeExit() {
    for (const end of ends.splice(0)) end();
    if (!view.travelling) {
      session?.stop();
      session = null;
    }
    mount();
  },

  getPanelModule: () => [
    { name: 'keypoints', iconName: 'tab-linear', iconLabel: 'Keypoints', label: 'Keypoints', component: () => hostElement(hostPanel) },
  ],
};
