/** The score over time with its limit and the charts behind it, and which sensors it comes from just now. */

import { Chart } from '../chart.js';
import { attr, h, keyed, put } from '../dom.js';
import { History, aborted } from '../history.js';
import { clock, number, percent, sensorName, t } from '../i18n.js';
import { isCalm } from '../lab.js';
import { Series } from '../series.js';
import { chartTable, errorLine, panel, tableButton } from '../widgets.js';

const STATISTICS = [
  { name: 'energy', key: 'page.score.energy', why: 'page.score.energy_why', colour: 'blue', dash: [6, 3] },
  { name: 'sensor', key: 'page.score.sensor', why: 'page.score.sensor_why', colour: 'green', dash: [2, 3] },
  { name: 'shift', key: 'page.score.shift', why: 'page.score.shift_why', colour: 'grey', dash: [8, 3, 2, 3] },
  { name: 'gross', key: 'page.score.gross', why: 'page.score.gross_why', colour: 'purple', dash: [10, 4] },
];
/** Points of the piping are judged by other charts. */
const PIPING = [
  { name: 'jacket', key: 'page.score.jacket', colour: 'blue', dash: [6, 3] },
  { name: 'humidity', key: 'page.score.humidity', colour: 'green', dash: [2, 3] },
];
const BARS = 6;
const DRIFT_HIGH = 0.7;

/**
 * @param {import('../lab.js').Lab} lab
 * @param {import('../lab.js').Asset} asset
 * @param {() => void} accept  the user wants to accept where the asset stands
 * @param {() => void} undo  the user wants to undo that
 */
export function scorePanel(lab, asset, accept, undo) {
  const history = new History();
  const charts = asset.kind === 'piping' ? PIPING : STATISTICS;
  const named = t('page.score.of', { name: asset.name });
  const series = { score: new Series(2000) };
  for (const { name } of charts) series[name] = new Series(2000);
  const chart = new Chart({ label: named, fromZero: true, score: true });
  chart.curves = [
    { series: series.score, colour: 'ink', width: 2 },
    ...charts.map(({ name, colour, dash }) => ({ series: series[name], colour, dash, width: 1.4 })),
  ];
  const error = errorLine();
  const values = new Map();
  const legend = h('ul', { class: 'legend' }, legendItem('score', t('page.score'), values));
  for (const { name, key } of charts) legend.append(legendItem(name, t(key), values));
  const at = h('span', { class: 'legend-at' });
  legend.append(h('li', {}, at));
  const learning = h('p', { class: 'muted note', text: t('page.plants.learning'), hidden: true });
  const drift = driftLine(asset, accept, undo);
  const foot = h('div', { class: 'score-foot' }, asset.kind === 'piping' ? null : explained(), drift);
  const element = panel(t('page.score'), 'score', legend, learning, chart.canvas, error, foot);
  const names = [t('page.score'), ...charts.map(({ key }) => t(key))];
  const columns = names.map((name) => ({ name, format: (v) => number(v, 2) }));
  element.head.append(tableButton(element, chart, () => chartTable(chart, columns)));

  async function load() {
    try {
      const points = Math.max(200, Math.round(chart.width || 600));
      await history.score(asset.id, series, chart.rangeMs, lab.now(), points);
      error.update(null);
    } catch (problem) {
      if (!aborted(problem)) error.update(problem);
    }
  }

  return {
    element,
    load,
    setRange(ms) {
      chart.rangeMs = ms;
      chart.held = null;
      load();
    },
    setEpisodes(rows) {
      chart.bands = rows.map((row) => ({
        from: Date.parse(row.start),
        to: row.end ? Date.parse(row.end) : Infinity,
        kind: isCalm(row) ? 'instrument' : 'process',
      }));
    },
    frame() {
      const frame = asset.frame;
      if (!frame || frame.score === null || frame.score === undefined) return;
      series.score.push(frame.t, frame.score);
      for (const { name } of charts) series[name].push(frame.t, frame.stats?.[name] ?? null);
    },
    draw(now) {
      const limit = asset.limit;
      chart.limits = [{ value: limit, label: t('page.score.limit', { value: number(limit, 2) }), kind: 'alarm', side: 'high' }];
      drift.show();
      learning.hidden = asset.frame ? asset.frame.warm !== false : asset.info.warm !== false;
      chart.draw(now);
      const cursor = chart.cursor;
      put(at, cursor === null ? '' : clock(cursor));
      for (const [name, node] of values) {
        const i = cursor === null ? series[name].n - 1 : series[name].nearest(cursor);
        put(node, i < 0 ? '–' : number(series[name].v[i], 2));
      }
    },
    destroy() {
      history.destroy();
      chart.destroy();
    },
  };
}

/** One line a chart: what it looks for. */
function explained() {
  const list = h('dl', { class: 'charts' });
  for (const { name, key, why } of STATISTICS) {
    list.append(h('dt', {}, h('span', { class: `pen pen-${name}` }), h('span', { text: t(key) })), h('dd', { text: t(why) }));
  }
  return h('details', {}, h('summary', { text: t('page.score.charts') }), list, h('p', { class: 'muted', text: t('page.score.largest') }));
}

/** Drift of the model, in passing; in words when it is high although nothing is in alarm. */
function driftLine(asset, accept, undo) {
  const value = h('span', { class: 'muted', title: t('page.drift.note') });
  const button = h('button', { type: 'button', text: t('page.accept'), on: { click: accept } });
  const high = h('div', { class: 'drift-high', hidden: true }, h('p', { text: t('page.drift.high') }), button);
  const back = h('button', { type: 'button', id: 'undo', text: t('page.accept.undo'), on: { click: undo } });
  const was = h('span', { class: 'muted', hidden: true }, t('page.accept.was'), ' ', back);
  const element = h('div', { class: 'drift' }, value, ' ', was, high);
  element.show = () => {
    const { drift } = asset;
    was.hidden = !asset.info.accepted;
    value.hidden = drift === null || asset.kind === 'piping';
    put(value, drift === null ? '' : t('page.drift', { value: number(drift, 1) }));
    // While an episode is open the plant is away from the model for a reason that stands above.
    high.hidden = drift === null || drift < DRIFT_HIGH || asset.episode !== null;
  };
  return element;
}

function legendItem(name, text, values) {
  const value = h('strong');
  values.set(name, value);
  return h('li', {}, h('span', { class: `pen pen-${name}` }), h('span', { text }), value);
}

/**
 * Shares of the sensors in the score, now.
 * @param {import('../lab.js').Asset} asset
 */
export function contributionsPanel(asset) {
  const list = h('ol', { class: 'bars' });
  const none = h('p', { class: 'muted', text: t('page.score.none') });
  const element = panel(t('page.contributions'), 'contributions', list, none);
  return {
    element,
    draw() {
      const rows = asset.top().slice(0, BARS);
      none.hidden = rows.length > 0;
      const alarmed = asset.alarmed && asset.health() !== 'instrument';
      element.classList.toggle('is-alarm', alarmed);
      keyed(list, rows, ([tag]) => tag, () => bar(asset));
    },
  };
}

function bar(asset) {
  const name = h('span', { class: 'bar-name' });
  const share = h('span', { class: 'bar-share' });
  const fill = h('span', { class: 'bar-fill' });
  const element = h('li', {}, name, share, h('span', { class: 'bar-track', 'aria-hidden': 'true' }, fill));
  element.update = ([tag, part]) => {
    const sensor = asset.sensors.find((one) => one.tag === tag) ?? { tag };
    put(name, sensorName(asset.kind, sensor));
    attr(name, 'title', tag);
    put(share, percent(part));
    fill.style.width = `${Math.min(100, part * 100).toFixed(1)}%`;
  };
  return element;
}
