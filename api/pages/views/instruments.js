/** The sensors of an asset that failed since it began with its model, whatever its episodes were put down to. */

import { h, keyed, put } from '../dom.js';
import { ago, t } from '../i18n.js';
import { failedText } from '../verdict.js';
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

function line(asset, one) {
  const { what, why } = failedText(asset, one);
  const when = h('span', { class: 'muted' });
  const element = h('li', { title: why }, h('strong', { text: what }), ' ', when);
  element.update = ({ times, since_s, ago_s }) => {
    const first = ago(since_s);
    put(when, times === 1 ? t('page.instruments.once', { first }) : t('page.instruments.often', { n: times, first, last: ago(ago_s) }));
  };
  return element;
}
