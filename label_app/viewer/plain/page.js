// The plain page: the keypoints without OHIF, for browsers without WebGL. Panel, keys and session are those of OHIF.

import { addressFollower } from '../session/address.js';
import { bindKeys } from '../session/keys.js';
import { mountPanel } from '../panel/panel.js';
import { Session } from '../session/session.js';
import { listImages } from './list.js';
import { Stage } from './stage.js';
import { Tools } from './tools.js';
import { PlainView } from './view.js';

const NOTICES = { webgl: 'This browser cannot draw with WebGL, which OHIF needs: here is the plain viewer, with the same keypoints.' };

const node = id => document.getElementById(id);
const say = (id, words) => {
  node(id).textContent = words ?? '';
  node(id).hidden = !words;
};

const asked = new URLSearchParams(location.search);
const stage = new Stage(node('stage'));
const view = new PlainView(stage, words => say('trouble', words));
const session = new Session(view);
new Tools(node('tools'), stage, view);
say('notice', NOTICES[asked.get('notice')]);

// `name` may be an instance of a stack: frames then count from it
async function openImage(name, frame = 0) {
  try {
    const image = await session.server.image(name);
    const first = Math.max(image.frames.findIndex(f => f.sop_instance_uid === name), 0);
    await view.open(image, Math.min(Math.max(first + (Math.trunc(frame) || 0), 0), image.frames.length - 1));
  } catch (error) {
    say('trouble', error.message);
  }
}

let mark = () => {};
async function showList() {
  try {
    const images = await session.server.images();
    mark = listImages(node('images'), images, id => openImage(id));
    mark(view.image?.id);
    const first = images.find(({ study }) => study === asked.get('study'));
    if (first && !view.image && !asked.has('image')) openImage(first.id);
  } catch (error) {
    say('trouble', error.message);
  }
}

function ohifAddress({ study, frames }, frame) {
  const query = new URLSearchParams({ StudyInstanceUIDs: study, initialSOPInstanceUID: frames[frame].sop_instance_uid });
  return `/ohif/tavr?${query}#frame=${frames[frame].frame}`;
}

const address = addressFollower(() => view.image && `/tavr/plain/?${new URLSearchParams({ image: view.image.id, frame: view.frame })}`);
function follow() {
  const { image, frame } = view;
  node('place').textContent = image ? `Frame ${frame + 1} / ${image.frames.length}` : '';
  mark(image?.id);
  if (image) node('other').href = ohifAddress(image, frame);
  address.follow();
}

// a submit changes how many frames of an image are labelled
let known = null;
session.onChange(() => {
  const version = session.document && `${session.image.id} ${session.document.version}`;
  if (!version || version === known) return;
  const submitted = known?.split(' ')[0] === session.image.id;
  known = version;
  if (submitted) showList();
});

view.attach(session);
view.onView(follow);
session.start();
mountPanel(node('panel'), session);
bindKeys(window, session);
window.tavr = { session, view }; // for tests and for the browser's console
showList();
if (asked.has('image')) openImage(asked.get('image'), Number(asked.get('frame')));
