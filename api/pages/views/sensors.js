/** The table of all sensors of an asset with value, quality and age. */

import { attr, h, icon, keyed, put } from '../dom.js';
import { duration, number, qualityCode, qualityText, sensorName, t, unitText } from '../i18n.js';
import { beyond, panel } from '../widgets.js';
import { downloadDialog } from './download.js';

const OVER = {
  hi_trip: 'page.over.hi_trip',
  hi_alarm: 'page.over.hi_alarm',
  lo_alarm: 'page.over.lo_alarm',
  lo_trip: 'page.over.lo_trip',
};

/** @param {import('../lab.js').Asset} asset */
export function sensorsPanel(asset) {
  const filter = h('input', { type: 'search', placeholder: t('page.filter'), 'aria-label': t('page.filter') });
  const body = h('tbody');
  const columns = ['page.sensors.name', 'page.sensors.value', 'page.sensors.quality', 'page.sensors.age'];
  const head = h('tr', {}, ...columns.map((key) => h('th', { scope: 'col', text: t(key) })));
  const table = h('table', { class: 'sensors' }, h('thead', {}, head), body);
  const none = h('p', { class: 'muted', text: t('page.sensors.none'), hidden: true });
  const element = panel(t('page.sensors'), 'sensors-panel', h('div', { class: 'scroll', tabindex: '0' }, table), none);
  const download = h('button', { type: 'button', class: 'quiet', id: 'download', text: t('page.download'), on: { click: () => downloadDialog(asset) } });
  element.head.append(download, filter);
  filter.addEventListener('input', show);

  function show() {
    const wanted = filter.value.trim().toLowerCase();
    const rows = asset.sensors
      .map((sensor, index) => ({ sensor, index, name: sensorName(asset.kind, sensor) }))
      .filter(({ sensor, name }) => `${name} ${sensor.tag}`.toLowerCase().includes(wanted));
    none.hidden = rows.length > 0;
    keyed(body, rows, ({ sensor }) => sensor.tag, (entry) => row(asset, entry));
  }

  return { element, draw: show };
}

function row(asset, { sensor, index, name }) {
  const value = h('span', { class: 'value' });
  const quality = h('span', { class: 'quality' });
  const age = h('td', { class: 'age' });
  const element = h(
    'tr',
    {},
    h('th', { scope: 'row' }, h('span', { text: name }), ' ', h('span', { class: 'tag', text: sensor.tag })),
    h('td', { class: 'number' }, value, ' ', h('span', { class: 'unit', text: unitText(sensor.unit) })),
    h('td', {}, quality),
    age,
  );
  let shown = '';
  element.update = () => {
    const current = asset.value(index);
    const code = currentQuality(asset, sensor);
    const side = beyond(sensor, current);
    const stale = asset.stale() || code === 'bad:stale' || (!asset.frame && sensor.stale);
    put(value, number(current, sensor.decimals ?? undefined));
    const seconds = asset.frame ? asset.ageSeconds() : sensor.last ? (Date.now() - Date.parse(sensor.last)) / 1000 : null;
    put(age, seconds === null ? '–' : duration(Math.max(0, seconds)));
    attr(element, 'class', stale ? 'is-stale' : side ? 'is-over' : code.startsWith('bad') ? 'is-bad' : null);
    const text = stale ? qualityText('bad:stale') : code === 'good' && side ? t(OVER[side]) : qualityText(code);
    const mark = stale ? 'stale' : side && code === 'good' ? (side.startsWith('hi') ? 'up' : 'down') : mark_(code);
    if (shown === mark + text) return;
    shown = mark + text;
    quality.replaceChildren(...(mark ? [icon(mark)] : []), h('span', { text }));
  };
  return element;
}

const mark_ = (code) => (code.startsWith('good') ? '' : 'instrument');

function currentQuality(asset, sensor) {
  if (!asset.frame) return sensor.quality ?? 'bad:stale';
  const code = asset.frame.q?.[sensor.tag];
  return code === undefined ? 'good' : qualityCode(code);
}
