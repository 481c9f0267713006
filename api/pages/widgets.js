/** Parts that several views use. Colour is only for what is abnormal, and never says it alone. */

import { attr, h, icon, put } from './dom.js';
import { clock, number, t, unitText } from './i18n.js';

const HEALTH = {
  ok: 'page.health.ok',
  alarm: 'page.health.alarm',
  instrument: 'page.health.instrument',
  learning: 'page.health.learning',
  stale: 'page.health.stale',
  offline: 'page.health.offline',
};

/** Most urgent first. */
export const URGENCY = ['alarm', 'instrument', 'stale', 'offline', 'learning', 'ok'];

/** @param {import('./lab.js').Health} health */
export const healthText = (health) => t(HEALTH[health] ?? HEALTH.ok);

/** A state as icon and text; `update(health)` changes it. */
export function badge() {
  const element = h('span', { class: 'badge' });
  let shown = '';
  element.update = (health) => {
    if (health === shown) return;
    shown = health;
    element.className = `badge is-${health}`;
    element.replaceChildren(icon(health), h('span', { text: healthText(health) }));
  };
  return element;
}

/** A number with a caption; `update(text, note)`. @param {string} caption */
export function fact(caption, cls = '') {
  const value = h('strong');
  const element = h('div', { class: `fact ${cls}` }, h('span', { class: 'caption', text: caption }), value);
  element.update = (text) => put(value, text);
  return element;
}

/** The proof that nothing was lost; `update(missing)`. */
export function proofChip() {
  const text = h('span');
  const element = h('span', { class: 'chip' }, icon('proof'), text);
  let bad = false;
  element.update = (missing) => {
    const unknown = missing === null || missing === undefined;
    put(text, unknown ? t('page.proof.unknown') : t(missing ? 'page.proof.missing' : 'page.proof.ok', { n: missing ?? 0 }));
    if (bad === Boolean(missing)) return;
    bad = Boolean(missing);
    element.classList.toggle('is-bad', bad);
    element.firstElementChild.replaceWith(icon(bad ? 'alarm' : 'proof'));
  };
  element.update(null);
  return element;
}

/**
 * Buttons of which one is pressed.
 * @template T
 * @param {string} label @param {{value: T, text: string}[]} choices @param {T} value @param {(value: T) => void} choose
 */
export function segmented(label, choices, value, choose) {
  const element = h('div', { class: 'segmented', role: 'group', 'aria-label': label });
  for (const choice of choices) {
    const button = h('button', { type: 'button', text: choice.text, on: { click: () => choose(choice.value) } });
    button.value_ = choice.value;
    element.append(button);
  }
  element.update = (now) => {
    for (const button of element.children) attr(button, 'aria-pressed', button.value_ === now ? 'true' : 'false');
  };
  element.update(value);
  return element;
}

/** An on/off switch. @param {string} label @param {(on: boolean) => void} change */
export function toggle(label, change) {
  const element = h('button', { type: 'button', role: 'switch', class: 'switch', 'aria-label': label, 'aria-checked': 'false' });
  element.addEventListener('click', () => change(element.getAttribute('aria-checked') !== 'true'));
  element.update = (on) => attr(element, 'aria-checked', on ? 'true' : 'false');
  return element;
}

/** A panel with a heading. @param {string} title */
export function panel(title, cls, ...children) {
  const heading = h('h2', { text: title });
  const head = h('div', { class: 'panel-head' }, heading);
  const element = h('section', { class: `panel ${cls}`, 'aria-label': title }, head, ...children);
  element.head = head;
  return element;
}

/** What went wrong, in words; gone again with `null`. */
export function errorLine() {
  const element = h('p', { class: 'error', role: 'alert', hidden: true });
  element.update = (error) => {
    element.hidden = !error;
    const text = error ? (error.status === 0 ? t('page.error.unreachable') : error.message) : '';
    element.replaceChildren(...(error ? [icon('alarm'), h('span', { text })] : []));
  };
  return element;
}

const LIMITS = [
  ['hi_trip', 'trip', 'high', 'page.limit.trip'],
  ['hi_alarm', 'alarm', 'high', 'page.limit.alarm'],
  ['lo_alarm', 'alarm', 'low', 'page.limit.alarm'],
  ['lo_trip', 'trip', 'low', 'page.limit.trip'],
];

/** A sensor's limits for a chart. @param {import('./lab.js').Sensor} sensor @returns {import('./chart.js').Limit[]} */
export function limitLines(sensor) {
  return LIMITS.filter(([name]) => typeof sensor.limits?.[name] === 'number').map(([name, kind, side, key]) => {
    const value = sensor.limits[name];
    return { value, kind, side, label: t(key, { value: String(+value.toPrecision(6)) }) };
  });
}

/**
 * Which limit a value is beyond: 'hi_trip', 'hi_alarm', 'lo_alarm', 'lo_trip' or null.
 * @param {import('./lab.js').Sensor} sensor @param {number|null} value
 */
export function beyond(sensor, value) {
  const limits = sensor.limits;
  if (!limits || value === null || value === undefined) return null;
  if (limits.hi_trip != null && value >= limits.hi_trip) return 'hi_trip';
  if (limits.lo_trip != null && value <= limits.lo_trip) return 'lo_trip';
  if (limits.hi_alarm != null && value > limits.hi_alarm) return 'hi_alarm';
  if (limits.lo_alarm != null && value < limits.lo_alarm) return 'lo_alarm';
  return null;
}

/** Digits to show where a glance must do: one fewer than the sensor gives. @param {import('./lab.js').Sensor} sensor */
export const glanceDigits = (sensor) => (sensor.decimals ? sensor.decimals - 1 : undefined);

/** A value with its unit, for a glance. @param {import('./lab.js').Sensor} sensor @param {number|null} value */
export function reading(sensor, value) {
  const unit = unitText(sensor.unit);
  return `${number(value, glanceDigits(sensor))}${unit ? `\u00a0${unit}` : ''}`;
}

const TABLE_ROWS = 16;

/**
 * The numbers behind a chart, for those who cannot see it: about sixteen rows from the left edge to now.
 * @param {import('./chart.js').Chart} chart
 * @param {{name: string, format: (v: number) => string}[]} columns one per curve
 */
export function chartTable(chart, columns) {
  const head = h('tr', {}, h('th', { scope: 'col', text: t('page.table.time') }));
  for (const column of columns) head.append(h('th', { scope: 'col', text: column.name }));
  const body = h('tbody');
  for (let k = TABLE_ROWS; k >= 0; k -= 1) {
    const at = chart.now - (chart.rangeMs * k) / TABLE_ROWS;
    const row = h('tr', {}, h('th', { scope: 'row', text: clock(at) }));
    columns.forEach((column, c) => {
      const { series } = chart.curves[c];
      const i = series.nearest(at);
      row.append(h('td', { text: i < 0 ? '–' : column.format(series.v[i]) }));
    });
    body.append(row);
  }
  return h('table', { class: 'numbers' }, h('thead', {}, head), body);
}

/** A button that puts a table in the place of a chart and back. @param {HTMLElement} place @param {() => HTMLElement} make */
export function tableButton(place, chart, make) {
  const button = h('button', { type: 'button', class: 'quiet', title: t('page.table.show'), 'aria-pressed': 'false' });
  button.append(icon('table'), h('span', { class: 'sr', text: t('page.table.show') }));
  const box = h('div', { class: 'table-box', hidden: true, tabindex: '0' });
  place.append(box);
  button.addEventListener('click', () => {
    box.hidden = !box.hidden;
    chart.canvas.hidden = !box.hidden;
    attr(button, 'aria-pressed', box.hidden ? 'false' : 'true');
    if (!box.hidden) box.replaceChildren(make());
  });
  return button;
}
