/** The simulator's desk: clock, speed, reset, trips; disturbances and faults; set points. */

import { get, post, segment } from '../api.js';
import { attr, h, icon, keyed, put } from '../dom.js';
import { known, number, plantClock, sensorName, t } from '../i18n.js';
import { errorLine, fact, reading, segmented } from '../widgets.js';
import { actuatorFaults, disturbances, sensorFaults } from './control_faults.js';
import { loopTable } from './control_loops.js';

const SPEEDS = [1, 10, 60, 200, 600];
const POLL_MS = 1000;
const SURE_MS = 4000;
const NOTE_MS = 4000;

/**
 * The desk of one plant.
 * @param {import('../lab.js').Lab} lab
 * @param {import('../lab.js').Asset} asset
 * @param {HTMLElement|null} closer a button for the head of a drawer
 */
export function controlPanel(lab, asset, closer = null) {
  const url = `simulators/${segment(asset.id)}`;
  const error = errorLine();
  const done = h('p', { class: 'done', role: 'status' });
  const trip = h('div', { class: 'trip', role: 'alert', hidden: true }, icon('alarm'), h('span'));
  const clock = fact(t('page.control.clock'), 'is-big');
  const cost = fact(t('page.control.cost'));
  const desk = { asset, send, plant: null };
  const speeds = SPEEDS.map((n) => ({ value: n, text: `×${n}` }));
  const speed = segmented(t('page.control.speed'), speeds, 0, (n) => send('speed', { speed: n }));
  const run = h('button', { type: 'button', class: 'run', id: 'run' });
  run.addEventListener('click', () => send('speed', { running: desk.plant?.running === false }));
  const trips = h('ul', { class: 'trips' });
  const parts = [disturbances(desk), sensorFaults(desk), actuatorFaults(desk), loopTable(desk)];
  const reset = resetForm(desk);
  const sections = [
    [t('page.control.trips'), trips, true],
    [t('page.control.disturbances'), parts[0].element, true],
    [t('page.control.sensor_faults'), parts[1].element, false],
    [t('page.control.actuator_faults'), parts[2].element, false],
    [t('page.control.setpoints'), parts[3].element, false],
  ];
  const element = h(
    'div',
    { class: 'control' },
    h('div', { class: 'control-head' },
      h('div', { class: 'control-title' }, h('h2', { text: t('page.control.of', { name: asset.name }) }), closer),
      trip,
      h('div', { class: 'control-facts' }, clock, cost),
      h('div', { class: 'control-run' }, run, speed),
      error, done),
    section(...sections[0]),
    reset,
    ...sections.slice(1).map(([title, content, open]) => section(title, content, open || !closer)),
  );
  let closed = false;
  let noteTimer;

  async function send(action, body) {
    try {
      const reply = await post(`${url}/${action}`, body);
      if (reply?.ok === false) throw new Error(reply.detail);
      error.update(null);
      put(done, reply?.detail || t('page.control.done'));
      clearTimeout(noteTimer);
      noteTimer = setTimeout(() => put(done, ''), NOTE_MS);
    } catch (problem) {
      put(done, '');
      error.update(problem);
      clearTimeout(noteTimer);
      noteTimer = setTimeout(() => error.update(null), 3 * NOTE_MS);
    }
    await poll();
  }

  async function poll() {
    try {
      const plant = await get(url);
      if (!closed) show(plant);
    } catch (problem) {
      if (!closed && !desk.plant) error.update(problem);
    }
  }

  function show(plant) {
    desk.plant = plant;
    trip.hidden = !plant.tripped;
    if (plant.tripped) put(trip.lastElementChild, t('page.control.tripped', { name: tripName(asset.kind, plant.tripped) }));
    clock.update(plant.plant_s === null || plant.plant_s === undefined ? '–' : plantClock(plant.plant_s));
    cost.update(t('page.control.cost_value', { value: number(plant.cost_per_h, 1) }));
    speed.update(plant.speed);
    runButton(plant);
    const tags = [...new Set((plant.trips ?? []).map((one) => one.tag))];
    keyed(trips, tags, (tag) => tag, (tag) => tripBar(asset, tag));
    for (const child of trips.children) child.show(plant);
    for (const part of [...parts, reset]) part.show(plant);
  }

  function runButton(plant) {
    const text = plant.running === false ? t('page.control.run') : t('page.control.pause');
    if (run.textContent === text) return;
    run.replaceChildren(icon(plant.running === false ? 'play' : 'pause'), h('span', { text }));
    run.classList.toggle('is-paused', plant.running === false);
  }

  poll();
  const timer = setInterval(() => document.hidden || poll(), POLL_MS);
  return {
    element,
    get plant() {
      return desk.plant;
    },
    poll,
    draw() {
      for (const part of parts) part.draw?.();
    },
    destroy() {
      closed = true;
      clearInterval(timer);
      clearTimeout(noteTimer);
    },
  };
}

function section(title, content, open) {
  return h('details', { class: 'desk-part', open }, h('summary', {}, h('h3', { text: title })), content);
}

const TRIPS = [
  'reactor pressure high',
  'reactor level high',
  'reactor level low',
  'reactor temperature high',
  'separator level high',
  'separator level low',
  'stripper level high',
  'stripper level low',
];

/** The catalogue's words for a trip (they are numbered from 1), else the plant's own. */
const tripName = (kind, name) => known(`trip.${kind}.${TRIPS.indexOf(name) + 1 || name}`, name);

/** How fast a plant runs, or why it does not. @param {string} kind @param {any} plant its status */
export function paceText(kind, plant) {
  if (plant.tripped) return t('page.control.stopped', { name: tripName(kind, plant.tripped) });
  return plant.running === false ? t('page.control.paused') : t('page.plants.speed', { n: plant.speed });
}

/** Where a measurement stands between its trips; the hatched ends are where the plant stops. */
function tripBar(asset, tag) {
  const sensor = asset.sensors.find((one) => one.tag === tag) ?? { tag, unit: '', lo: null, hi: null, limits: null, decimals: 1 };
  const value = h('span', { class: 'trip-value' });
  const left = h('span', { class: 'trip-left' });
  const low = h('span', { class: 'trip-zone is-low', hidden: true });
  const high = h('span', { class: 'trip-zone is-high', hidden: true });
  const marker = h('span', { class: 'trip-marker' });
  const track = h('div', { class: 'trip-track', 'aria-hidden': 'true' }, low, high, marker);
  const element = h('li', {}, h('span', { class: 'trip-name', text: sensorName(asset.kind, sensor) }), value, track, left);
  element.show = (plant) => {
    const rows = plant.trips.filter((one) => one.tag === tag);
    const current = rows[0].value;
    const top = rows.find((one) => one.side === 'high')?.limit;
    const bottom = rows.find((one) => one.side === 'low')?.limit;
    const from = bottom ?? Math.min(sensor.lo ?? 0, current);
    const to = top ?? Math.max(sensor.hi ?? current, current);
    const air = (to - from) * 0.06;
    const start = bottom === undefined ? from : from - air;
    const end = top === undefined ? to : to + air;
    const place = (v) => `${Math.min(100, Math.max(0, ((v - start) / (end - start)) * 100)).toFixed(1)}%`;
    low.hidden = bottom === undefined;
    high.hidden = top === undefined;
    low.style.width = place(from);
    high.style.left = place(to);
    marker.style.left = place(current);
    const distances = rows.map((one) => (one.side === 'high' ? one.limit - current : current - one.limit));
    const nearest = Math.min(...distances);
    put(value, reading(sensor, current));
    put(left, nearest <= 0 ? t('page.control.at_trip') : t('page.control.to_trip', { value: reading(sensor, nearest) }));
    const limits = sensor.limits;
    const warn = nearest <= 0 || current > (limits?.hi_alarm ?? Infinity) || current < (limits?.lo_alarm ?? -Infinity);
    attr(element, 'class', warn ? 'is-over' : null);
  };
  return element;
}

function resetForm(desk) {
  const seed = h('input', { type: 'number', min: 0, step: 1, required: true, 'aria-label': t('page.control.seed') });
  let edited = false;
  seed.addEventListener('input', () => (edited = true));
  const button = h('button', { type: 'submit', text: t('page.control.reset') });
  let timer;
  const calm = () => {
    clearTimeout(timer);
    button.classList.remove('is-sure');
    put(button, t('page.control.reset'));
  };
  const form = h('form', { class: 'reset' }, h('label', {}, h('span', { text: t('page.control.seed') }), seed), button,
    h('p', { class: 'muted', text: t('page.control.reset_note') }));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (button.classList.contains('is-sure')) {
      calm();
      edited = false;
      desk.send('reset', { seed: Number(seed.value) });
      return;
    }
    button.classList.add('is-sure');
    put(button, t('page.control.sure'));
    timer = setTimeout(calm, SURE_MS);
  });
  /** The seed of the run that is going on, so that it can be had again; not while another one is being typed. */
  form.show = (plant) => {
    if (!edited && document.activeElement !== seed) seed.value = String(plant.seed ?? '');
  };
  return form;
}

/** The desk as a page of its own. @param {import('../main.js').Context} context @returns {import('../main.js').View} */
export function controlView({ lab, path }) {
  const error = errorLine();
  const place = h('div');
  const choice = h('div', { class: 'tools' });
  const head = h('header', { class: 'view-head' }, h('h1', { text: t('page.nav.control') }), choice);
  const element = h('div', { class: 'view control-view' }, head, error, place);
  let desk = null;
  let gone = false;

  async function start() {
    if (desk || gone) return;
    try {
      const { simulators } = await get('simulators');
      const id = path[0] ?? simulators[0]?.id;
      if (!id) {
        place.replaceChildren(h('p', { class: 'muted', text: t('page.control.none') }));
        return;
      }
      const asset = await lab.asset(id);
      if (gone || desk) return;
      if (simulators.length > 1) choice.replaceChildren(plantSelect(simulators, id));
      choice.append(h('a', { class: 'button', href: `#/asset/${segment(id)}`, text: t('page.control.trends') }));
      desk = controlPanel(lab, asset);
      place.replaceChildren(desk.element);
      error.update(null);
    } catch (problem) {
      error.update(problem);
    }
  }

  start();
  return {
    element,
    title: t('page.nav.control'),
    refresh: start,
    refreshMs: 5000,
    draw: () => desk?.draw(),
    destroy() {
      gone = true;
      desk?.destroy();
    },
  };
}

function plantSelect(simulators, id) {
  const select = h('select', { 'aria-label': t('page.control.plant') });
  for (const one of simulators) select.append(h('option', { value: one.id, text: one.id, selected: one.id === id }));
  select.addEventListener('change', () => (location.hash = `#/control/${segment(select.value)}`));
  return select;
}
