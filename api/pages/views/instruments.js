/** The sensors of an asset that failed since it began with its model, whatever its episodes were put down to. */

import { h, keyed, put } from '../dom.js';
import { ago, t } from '../i18n.js';
import { failedText, tagName } from '../verdict.js';
import { panel } from '../widgets.js';

/** @param {import('../lab.js').Asset} asset */
export function instrumentsPanel(asset) {
  const list = h('ul', { class: 'instruments' });
  const note = h('p', { class: 'muted' });
  const element = panel(t('page.instruments'), 'instruments-panel', list, note);
  let speed = null;

  return {
    element,
    setPlant(plant) {
      speed = plant?.speed ?? null;
    },
    draw() {
      const found = asset.instruments;
      element.hidden = found.length === 0;
      put(note, [t('page.instruments.note'), speed ? t('page.outlook.plant_time', { n: speed }) : ''].filter(Boolean).join(' '));
      keyed(list, found, (one) => `${one.sensor} ${one.fault}`, (one) => line(asset, one));
    },
  };
}

const FAULTS = {
  frozen: 'page.instruments.of.frozen',
  silent: 'page.instruments.of.silent',
  spiking: 'page.instruments.of.spiking',
  range: 'page.instruments.of.range',
};

function line(asset, one) {
  const { why } = failedText(asset, one);
  const when = h('span', { class: 'muted' });
  const element = h('li', { title: why }, h('strong', { text: t(FAULTS[one.fault], { name: tagName(asset, one.sensor) }) }), ' ', when);
  element.update = (now) => put(when, whenText(now));
  return element;
}

/** A spike is over at once; whatever else was seen in the newest row goes on. */
function whenText({ fault, times, since_s, ago_s }) {
  const first = ago(since_s);
  const last = ago(ago_s);
  const lasts = fault !== 'spiking';
  if (times > 1) return lasts && ago_s <= 0 ? t('page.instruments.often_still', { n: times, first }) : t('page.instruments.often', { n: times, first, last });
  if (!lasts) return t('page.instruments.once', { first });
  return ago_s <= 0 ? t('page.instruments.still', { first }) : t('page.instruments.over', { first, last });
}
