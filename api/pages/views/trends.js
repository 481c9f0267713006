/** Small multiples of live sensors: the leading ones by themselves, or the ones picked. */

import { Chart } from '../chart.js';
import { attr, h, keyed, put } from '../dom.js';
import { History, aborted } from '../history.js';
import { clock, number, sensorName, t, unitText } from '../i18n.js';
import { Series } from '../series.js';
import { beyond, chartTable, errorLine, limitLines, panel, segmented, tableButton } from '../widgets.js';
import { pickerDialog } from './picker.js';

const SHOWN = 6;
const HOLD_MS = 20_000;

/**
 * @param {import('../lab.js').Lab} lab
 * @param {import('../lab.js').Asset} asset
 */
export function trendsPanel(lab, asset) {
  const storage = `lab.pick.${asset.id}`;
  const history = new History();
  const error = errorLine();
  const grid = h('div', { class: 'trends' });
  /** @type {Map<string, ReturnType<typeof trend>>} */
  const trends = new Map();
  let picked = read(storage);
  let tags = [];
  let chosenAt = -Infinity;
  let alarmed = false;
  let rangeMs = 900_000;

  const modes = [{ value: 'auto', text: t('page.trends.auto') }, { value: 'own', text: t('page.trends.own') }];
  const mode = segmented(t('page.trends.which'), modes, picked ? 'own' : 'auto', (value) => {
    if (value === 'own') pick();
    else keep(null);
  });
  const element = panel(t('page.trends'), 'trends-panel', error, grid);
  element.head.append(mode);

  async function pick() {
    const choice = await pickerDialog(asset, picked ?? tags);
    if (choice) keep(choice.length ? choice : null);
  }

  function keep(choice) {
    picked = choice;
    if (choice) localStorage.setItem(storage, JSON.stringify(choice));
    else localStorage.removeItem(storage);
    mode.update(choice ? 'own' : 'auto');
    chosenAt = -Infinity;
    choose();
  }

  function choose() {
    const now = performance.now();
    const turned = asset.alarmed !== alarmed;
    if ((now - chosenAt < HOLD_MS && !turned) || !asset.sensors.length) return;
    chosenAt = now;
    alarmed = asset.alarmed;
    const next = picked ? picked.filter((tag) => asset.sensors.some((s) => s.tag === tag)) : leading(asset, turned && alarmed ? [] : tags);
    if (next.join() === tags.join()) return;
    tags = next;
    for (const [tag, one] of trends) {
      if (tags.includes(tag)) continue;
      one.chart.destroy();
      trends.delete(tag);
    }
    const fresh = tags.filter((tag) => !trends.has(tag));
    for (const tag of fresh) trends.set(tag, trend(asset, tag, rangeMs, setCursor));
    keyed(grid, tags, (tag) => tag, (tag) => trends.get(tag).element);
    load(fresh);
  }

  function setCursor(at) {
    for (const one of trends.values()) one.setCursor(at);
  }

  async function load(which = tags) {
    const wanted = new Map(which.map((tag) => [`${asset.id}/${tag}`, trends.get(tag).series]));
    if (!wanted.size) return;
    try {
      const width = [...trends.values()].reduce((most, one) => Math.max(most, one.chart.width), 300);
      await history.readings(wanted, rangeMs, lab.now(), Math.round(width));
      error.update(null);
    } catch (problem) {
      if (!aborted(problem)) error.update(problem);
      return;
    }
    if (which.length < tags.length) return;
    for (const one of trends.values()) one.chart.held = null;
  }

  return {
    element,
    load: () => load(),
    setRange(ms) {
      rangeMs = ms;
      for (const one of trends.values()) {
        one.chart.rangeMs = ms;
        one.chart.held = null;
      }
      load();
    },
    frame() {
      choose();
      for (const one of trends.values()) one.take();
    },
    draw(now) {
      choose();
      for (const one of trends.values()) one.draw(now);
    },
    destroy() {
      history.destroy();
      for (const one of trends.values()) one.chart.destroy();
    },
  };
}

function read(storage) {
  try {
    const tags = JSON.parse(localStorage.getItem(storage));
    return Array.isArray(tags) && tags.length ? tags.map(String) : null;
  } catch {
    return null;
  }
}

/**
 * The sensors to show without being asked: what the score comes from while it is high; else the ones with limits.
 * Those on the screen keep their places while they still belong there.
 */
function leading(asset, shown) {
  const known = new Set(asset.sensors.map((sensor) => sensor.tag));
  const measured = asset.sensors.filter((sensor) => sensor.role === 'measurement');
  const limited = measured.filter((sensor) => sensor.limits).map((sensor) => sensor.tag);
  const top = asset.alarmed ? asset.top().map(([tag]) => tag).filter((tag) => known.has(tag)) : [];
  const wanted = [...new Set([...top, ...limited, ...measured.map((sensor) => sensor.tag)])].slice(0, SHOWN);
  const come = wanted.filter((tag) => !shown.includes(tag));
  const kept = shown.map((tag) => (wanted.includes(tag) ? tag : come.shift())).filter(Boolean);
  return [...kept, ...come];
}

function trend(asset, tag, rangeMs, onCursor) {
  const index = asset.sensors.findIndex((one) => one.tag === tag);
  const sensor = asset.sensors[index];
  const name = sensorName(asset.kind, sensor);
  const series = new Series(2000);
  const range = (sensor.hi ?? 0) - (sensor.lo ?? 0);
  const chart = new Chart({ label: t('page.trends.of', { name }), least: range > 0 ? range * 0.002 : 0, onCursor });
  chart.rangeMs = rangeMs;
  chart.curves = [{ series, colour: 'blue' }];
  chart.limits = limitLines(sensor);
  const value = h('strong');
  const unit = h('span', { class: 'unit', text: unitText(sensor.unit) });
  const at = h('span', { class: 'trend-at' });
  const output = h('output', { 'aria-live': 'off' }, value, unit);
  const flag = h('span', { class: 'trend-flag' });
  const element = h(
    'figure',
    { class: 'trend' },
    h('figcaption', {}, h('span', { class: 'trend-name' }, h('span', { text: name, title: tag }), flag),
      h('span', { class: 'trend-value' }, output, at)),
    chart.canvas,
  );
  const format = (v) => number(v, sensor.decimals ?? undefined);
  const button = tableButton(element, chart, () => chartTable(chart, [{ name: `${name} ${unitText(sensor.unit)}`, format }]));
  element.querySelector('figcaption').append(button);
  return {
    element,
    chart,
    series,
    take() {
      const frame = asset.frame;
      if (frame?.v) series.push(frame.t, frame.v[index]);
    },
    setCursor: (at_) => chart.setCursor(at_),
    draw(now) {
      chart.curves[0].colour = asset.stale() ? 'grey' : 'blue';
      chart.draw(now);
      const i = chart.cursor === null ? -1 : series.nearest(chart.cursor);
      const current = chart.cursor === null ? asset.value(index) : i < 0 ? null : series.v[i];
      // Read out only what was asked for with the cursor; a value of every second would never stop talking.
      attr(output, 'aria-live', document.activeElement === chart.canvas && chart.cursor !== null ? 'polite' : 'off');
      put(value, format(current));
      put(at, chart.cursor === null ? '' : clock(chart.cursor));
      const side = beyond(sensor, chart.cursor === null ? current : null);
      put(flag, side ? (side.startsWith('hi') ? '▲' : '▼') : '');
      attr(element, 'class', `trend ${side ? 'is-over' : ''} ${asset.stale() ? 'is-stale' : ''}`);
    },
  };
}
