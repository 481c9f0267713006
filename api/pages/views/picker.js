/** A dialog to pick the sensors whose trends are shown. */

import { h } from '../dom.js';
import { sensorName, t } from '../i18n.js';

const MOST = 12;

/**
 * @param {import('../lab.js').Asset} asset
 * @param {string[]} chosen tags
 * @returns {Promise<string[]|null>} tags in the asset's order, null when closed without a choice
 */
export function pickerDialog(asset, chosen) {
  const marked = new Set(chosen);
  const count = h('span', { class: 'muted' });
  const boxes = asset.sensors.map((sensor) => {
    const name = sensorName(asset.kind, sensor);
    const box = h('input', { type: 'checkbox', on: { change: () => change(sensor.tag, box.checked) } });
    box.checked = marked.has(sensor.tag);
    const row = h('label', { class: 'pick' }, box, h('span', {}, name, ' ', h('span', { class: 'muted', text: sensor.tag })));
    return { row, box, tag: sensor.tag, text: `${name} ${sensor.tag}`.toLowerCase() };
  });
  const filter = h('input', { type: 'search', placeholder: t('page.filter'), 'aria-label': t('page.filter') });
  filter.addEventListener('input', () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const one of boxes) one.row.hidden = !one.text.includes(wanted);
  });
  const done = h('button', { type: 'submit', value: 'ok', class: 'primary', text: t('page.trends.show') });
  const cancel = h('button', { type: 'button', text: t('page.cancel'), on: { click: () => dialog.close('') } });
  const dialog = h(
    'dialog',
    { class: 'picker', 'aria-label': t('page.trends.own') },
    h('form', { method: 'dialog' }, h('h2', { text: t('page.trends.own') }), filter,
      h('div', { class: 'picks' }, ...boxes.map((one) => one.row)),
      h('footer', {}, count, h('span', { class: 'spring' }), cancel, done)),
  );

  function change(tag, on) {
    if (on) marked.add(tag);
    else marked.delete(tag);
    update();
  }

  function update() {
    count.textContent = t('page.trends.picked', { n: marked.size, most: MOST });
    for (const one of boxes) one.box.disabled = !one.box.checked && marked.size >= MOST;
    done.disabled = marked.size === 0;
  }

  update();
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'ok' ? boxes.filter((one) => marked.has(one.tag)).map((one) => one.tag) : null);
    });
  });
}
