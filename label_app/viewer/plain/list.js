// The images that can be opened, by patient. Patients have no names here: their order and a thumbnail tell them apart.

import { button } from '../panel/element.js';

/** Fill a node with the images; returns a function that marks the one that is open. */
export function listImages(node, images, onOpen) {
  const patients = new Map();
  for (const image of images) {
    if (!patients.has(image.patient)) patients.set(image.patient, []);
    patients.get(image.patient).push(image);
  }
  const sections = [...patients.values()].map((own, number) => patientSection(number + 1, own, onOpen));
  node.replaceChildren(...sections);
  if (!images.length) node.append(element('p', 'hint', 'The server has no angiography (XA, RF) to show.'));
  return current => {
    for (const entry of node.querySelectorAll('[data-image]')) {
      if (entry.dataset.image === current) entry.setAttribute('aria-current', 'true');
      else entry.removeAttribute('aria-current');
    }
  };
}

function patientSection(number, images, onOpen) {
  const section = element('section');
  section.append(element('h2', '', `Patient ${number}`), ...images.map((image, i) => imageEntry(image, i + 1, onOpen)));
  return section;
}

function imageEntry({ id, frames, labelled_frames: labelled }, number, onOpen) {
  const picture = Object.assign(document.createElement('img'), {
    src: `/tavr/frames/${encodeURIComponent(id)}/${Math.floor(frames / 2)}.png`,
    loading: 'lazy',
    alt: '',
  });
  const words = element('span');
  words.append(
    element('b', '', `Cine ${number}`),
    element('small', '', frames === 1 ? '1 frame' : `${frames} frames`),
    element('small', labelled ? 'labelled' : '', labelled ? `${labelled} labelled` : 'not labelled')
  );
  return button({ className: 'image', title: id, data: { image: id }, onclick: () => onOpen(id) }, picture, words);
}

function element(tag, className = '', text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}
