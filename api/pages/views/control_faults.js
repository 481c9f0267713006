/** What can be made to go wrong in a simulated plant. */

import { attr, h, keyed, put } from '../dom.js';
import { known, number, sensorName, t, unitText } from '../i18n.js';
import { toggle } from '../widgets.js';

/** Each kind of fault with what its size means. */
const SENSOR_KINDS = {
  bias: 'page.control.size_bias',
  drift: 'page.control.size_drift',
  freeze: 'page.control.size_freeze',
  spike: 'page.control.size_spike',
  noise: 'page.control.size_noise',
  dropout: 'page.control.size_dropout',
};
const ACTUATOR_KINDS = {
  stuck: 'page.control.size_valve_stuck',
  slow: 'page.control.size_valve_slow',
  bias: 'page.control.size_valve_bias',
  lossofeffect: 'page.control.size_valve_lossofeffect',
};
/** What a valve's fault takes for a size at first. */
const VALVE_SIZES = { slow: 5, bias: 10, lossofeffect: 0.5 };
const SIZELESS = ['freeze', 'dropout', 'stuck'];

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * @typedef {object} Desk
 * @property {import('../lab.js').Asset} asset
 * @property {any} plant last status
 * @property {(action: string, body: object) => Promise<void>} send
 */

/** The plant's disturbances as switches. @param {Desk} desk */
export function disturbances(desk) {
  const list = h('ul', { class: 'switches' });
  return {
    element: list,
    show(plant) {
      const active = new Set(plant.faults ?? []);
      keyed(list, plant.disturbances ?? [], (one) => String(one.idv), (one) => idvRow(desk, one));
      for (const row of list.children) row.show(active);
    },
  };
}

function idvRow(desk, { idv, name, type }) {
  const { kind } = desk.asset;
  const button = toggle(`IDV ${idv} ${name}`, (on) => desk.send('faults', { idv, on }));
  button.dataset.idv = idv;
  const sort = known(`idvtype.${kind}.${type.split(' ')[0]}`, type);
  // Some names say already how the disturbance moves.
  const note = name.includes(sort) ? null : h('span', { class: 'muted', text: sort });
  const label = h('span', { class: 'switch-name' }, h('span', { text: name }), ' ', note);
  const row = h('li', {}, h('span', { class: 'idv', text: String(idv) }), label, button);
  row.show = (active) => {
    button.update(active.has(idv));
    attr(row, 'class', active.has(idv) ? 'is-on' : null);
  };
  return row;
}

/** Faults of sensors: what is on, and a form for another. @param {Desk} desk */
export function sensorFaults(desk) {
  const { asset } = desk;
  const options = asset.sensors
    .filter((sensor) => sensor.role === 'measurement')
    .map((sensor) => ({ value: sensor.tag, text: sensorName(asset.kind, sensor) }));
  const sensors = new Map(asset.sensors.map((sensor) => [sensor.tag, sensor]));
  // One number for all would be nothing for a pressure and beyond everything for a small flow.
  const share = ({ lo, hi }) => (Number.isFinite(hi - lo) && hi > lo ? Number(((hi - lo) * 0.05).toPrecision(1)) : 1);
  return faults(desk, {
    field: 'tag',
    label: t('page.control.sensor'),
    options,
    kinds: SENSOR_KINDS,
    words: 'sensorfault',
    size: (tag, kind) => ({
      value: share(sensors.get(tag) ?? {}),
      note: t(SENSOR_KINDS[kind], { unit: unitText(sensors.get(tag)?.unit) || '1' }),
    }),
    rows: (plant) => plant.sensor_faults ?? [],
    convert: (value) => value,
  });
}

/** Faults of valves. @param {Desk} desk */
export function actuatorFaults(desk) {
  const { asset } = desk;
  const options = asset.sensors
    .filter((sensor) => sensor.role === 'manipulated')
    .map((sensor) => ({ value: sensor.tag.replace('xmv_', ''), text: sensorName(asset.kind, sensor) }));
  return faults(desk, {
    field: 'xmv',
    label: t('page.control.valve'),
    options,
    kinds: ACTUATOR_KINDS,
    words: 'actuatorfault',
    size: (xmv, kind) => ({ value: VALVE_SIZES[kind], note: t(ACTUATOR_KINDS[kind]) }),
    rows: (plant) => plant.actuator_faults ?? [],
    convert: Number,
  });
}

function faults(desk, { field, label, options, kinds, words, size, rows, convert }) {
  const names = new Map(options.map((option) => [option.value, option.text]));
  const active = h('ul', { class: 'active-faults' });
  const which = select(label, options);
  const kindText = (value) => capital(known(`${words}.${desk.asset.kind}.${value}`, value));
  const kind = select(t('page.control.kind'), Object.keys(kinds).map((value) => ({ value, text: kindText(value) })));
  const amount = h('input', { type: 'number', step: 'any' });
  const note = h('p', { class: 'muted' });
  const form = h('form', { class: 'fault-form' }, field_(label, which), field_(t('page.control.kind'), kind),
    field_(t('page.control.size'), amount), h('button', { type: 'submit', class: 'primary', text: t('page.control.inject') }),
    note);
  const suggest = () => {
    const usual = size(which.value, kind.value);
    amount.disabled = SIZELESS.includes(kind.value);
    amount.value = amount.disabled ? '' : String(usual.value);
    put(note, usual.note);
  };
  which.addEventListener('change', suggest);
  kind.addEventListener('change', suggest);
  suggest();
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    desk.send('faults', { [field]: convert(which.value), kind: kind.value, size: Number(amount.value), on: true });
  });
  const key = (row) => `${row[field]} ${row.kind}`;

  function activeRow(row) {
    const end = h('button', { type: 'button', text: t('page.control.remove') });
    end.addEventListener('click', () => desk.send('faults', { [field]: row[field], kind: row.kind, on: false }));
    const text = h('span');
    const element = h('li', { class: 'is-on' }, text, end);
    element.update = (now) => {
      const amount_ = now.size === undefined || now.size === null ? '' : ` (${number(now.size)})`;
      put(text, `${names.get(String(now[field])) ?? now[field]}: ${kindText(now.kind)}${amount_}`);
    };
    return element;
  }

  return {
    element: h('div', {}, active, form),
    show(plant) {
      keyed(active, rows(plant), key, activeRow);
    },
  };
}

function select(label, options) {
  const element = h('select', { 'aria-label': label });
  for (const option of options) element.append(h('option', { value: option.value, text: option.text }));
  return element;
}

const field_ = (label, input) => h('label', { class: 'field' }, h('span', { text: label }), input);
