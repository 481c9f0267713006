/** The overview: a card an asset, and the newest episodes. */

import { get, segment } from '../api.js';
import { Chart } from '../chart.js';
import { attr, h, keyed, put } from '../dom.js';
import { ago, number, sensorName, t, unitText } from '../i18n.js';
import { Series } from '../series.js';
import { cardLine } from '../verdict.js';
import { URGENCY, badge, beyond, errorLine, fact, glanceDigits, panel, proofChip } from '../widgets.js';
import { paceText } from './control.js';
import { episodeList } from './episodes.js';

const RANGE_MS = 900_000;
const LEAST_RANGE_MS = 120_000;
const VALUES = 3;
const VALUES_SINGLE = 6;
const EPISODES = 12;

/** @param {import('../main.js').Context} context */
export function plantsView({ lab }) {
  const summary = h('p', { class: 'summary', role: 'status' });
  const readings = fact(t('page.plants.readings'));
  const online = fact(t('page.plants.online'));
  const open = fact(t('page.plants.open'));
  const proof = proofChip();
  const error = errorLine();
  const cards = h('div', { class: 'cards' });
  const empty = emptyState();
  const episodes = episodeList(lab, { empty: t('page.episode.none') });
  const side = panel(t('page.episode.newest'), 'newest', episodes);
  const element = h(
    'div',
    { class: 'view plants' },
    h('header', { class: 'view-head' }, h('div', {}, h('h1', { text: t('page.nav.plants') }), summary),
      h('div', { class: 'facts' }, readings, online, open, h('a', { class: 'plain', href: '#/data' }, proof))),
    error,
    h('div', { class: 'plants-body' }, h('div', {}, cards, empty), side),
  );
  let speeds = new Map();

  async function refresh() {
    try {
      const [, rows, plants] = await Promise.all([
        lab.refresh(),
        get('episodes', { limit: EPISODES }),
        get('simulators').catch(() => ({ simulators: [] })),
      ]);
      speeds = new Map((plants.simulators ?? []).map((one) => [one.id, one]));
      await Promise.all([...lab.assets.keys()].map((id) => lab.asset(id).catch(() => null)));
      episodes.update(rows.episodes);
      error.update(null);
    } catch (problem) {
      error.update(problem);
    }
    show();
  }

  function show() {
    const assets = [...lab.assets.values()].sort((a, b) => rank(a) - rank(b) || (a.kind === 'piping') - (b.kind === 'piping') || (a.id < b.id ? -1 : 1));
    keyed(cards, assets, (asset) => asset.id, (asset) => card(lab, asset));
    for (const child of cards.children) child.show(speeds.get(child.dataset.key), assets.length === 1);
    empty.hidden = assets.length > 0 || !lab.loadedAt;
    cards.classList.toggle('is-single', assets.length === 1);
    const healths = assets.map((asset) => asset.health());
    const bad = healths.filter((health) => health !== 'ok' && health !== 'learning').length;
    const learning = healths.filter((health) => health === 'learning').length;
    put(summary, assets.length === 0 ? '' : summed(bad, learning));
    summary.classList.toggle('is-bad', bad > 0);
    readings.update(lab.rates ? number(lab.rates.readings_s, 0) : '–');
    online.update(`${healths.filter((health) => health !== 'offline').length} / ${assets.length}`);
    open.update(String(assets.reduce((sum, asset) => sum + (asset.info.episodes_open ?? 0), 0)));
    proof.update(assets.length ? (lab.rates?.missing ?? null) : null);
  }

  refresh();
  return {
    element,
    title: t('page.nav.plants'),
    refresh,
    refreshMs: 5000,
    frame() {
      for (const child of cards.children) child.take();
      show();
    },
    tick: show,
    gap() {
      for (const child of cards.children) child.load();
    },
    draw(now) {
      episodes.freshen();
      for (const child of cards.children) child.draw(now);
    },
    destroy() {
      for (const child of cards.children) child.destroy();
    },
  };
}

/** What a glance should tell of all; that one learns is not that it is normal. */
function summed(bad, learning) {
  const words = [bad ? t('page.plants.attention', { n: bad }) : '', learning ? t('page.plants.learners', { n: learning }) : ''];
  return words.filter(Boolean).join(' · ') || t('page.plants.calm');
}

// Cards keep their places unless something needs attention: a list that reshuffles itself cannot be learnt.
const rank = (asset) => (['alarm', 'instrument'].includes(asset.health()) ? URGENCY.indexOf(asset.health()) : 9);

function card(lab, asset) {
  const state = badge();
  const note = h('p', { class: 'card-note' });
  const age = h('span');
  const speed = h('span');
  const score = h('span', { class: 'card-score' });
  const values = h('dl', { class: 'card-values' });
  const chart = new Chart({ label: t('page.score.of', { name: asset.name }), bare: true, fromZero: true, score: true });
  const series = new Series(600);
  chart.rangeMs = RANGE_MS;
  chart.curves = [{ series, colour: 'ink', width: 1.5 }];
  const title = h('h2', { text: asset.name });
  const element = h(
    'a',
    { class: 'card', href: `#/asset/${segment(asset.id)}` },
    h('div', { class: 'card-head' }, h('div', { class: 'card-name' }, title, h('span', { class: 'muted' }, asset.name === asset.id ? null : `${asset.id} · `, age)), state),
    note,
    values,
    chart.canvas,
    h('div', { class: 'card-foot' }, score, speed),
  );
  element.load = async () => {
    const points = Math.max(100, Math.round(chart.width || 300));
    const data = await get(`assets/${segment(asset.id)}/score`, { from: '-15m', points }).catch(() => null);
    if (data) series.load({ t: data.t, v: data.score }, RANGE_MS / points);
  };
  element.take = () => {
    if (asset.frame?.score !== null && asset.frame) series.push(asset.frame.t, asset.frame.score);
  };
  element.show = (plant, single) => {
    if (chart.options.bare === single) {
      chart.options.bare = !single;
      chart.canvas.className = single ? 'chart' : 'chart bare';
    }
    keyed(values, telling(asset).slice(0, single ? VALUES_SINGLE : VALUES), (tag) => tag, (tag) => cardValue(asset, tag));
    for (const child of values.children) child.show();
    const health = asset.health();
    state.update(health);
    element.className = `card is-${health}`;
    put(note, noteText(asset, health));
    const seconds = asset.ageSeconds();
    put(age, seconds === null ? t('page.plants.never') : ago(seconds));
    put(speed, plant ? paceText(asset.kind, plant) : '');
    attr(speed, 'class', plant?.tripped ? 'is-over' : null);
    const limit = t('page.score.limit', { value: number(asset.limit, 2) });
    put(score, asset.score === null ? t('page.score.none') : `${t('page.score.value', { value: number(asset.score, 2) })} · ${limit}`);
    chart.limits = asset.limit ? [{ value: asset.limit, label: '', kind: 'alarm', side: 'high' }] : [];
    chart.canvas.hidden = series.n === 0;
    chart.curves[0].colour = health === 'stale' || health === 'offline' ? 'grey' : 'ink';
  };
  element.draw = (now) => {
    // A lab that has just been started shows its first minutes, not an empty quarter of an hour.
    if (series.n) chart.rangeMs = Math.min(RANGE_MS, Math.max(LEAST_RANGE_MS, now - series.t[0]));
    chart.draw(now);
  };
  element.destroy = () => chart.destroy();
  element.load();
  return element;
}

/** The sensors that say most: those the score comes from while it is high, then those with limits. */
function telling(asset) {
  const measured = asset.sensors.filter((sensor) => sensor.role === 'measurement');
  const top = asset.alarmed ? asset.top().map(([tag]) => tag) : [];
  const known = new Set(asset.sensors.map((sensor) => sensor.tag));
  const limited = measured.filter((sensor) => sensor.limits);
  return [...new Set([...top, ...[...limited, ...measured].map((sensor) => sensor.tag)])].filter((tag) => known.has(tag));
}

function cardValue(asset, tag) {
  const index = asset.sensors.findIndex((one) => one.tag === tag);
  const sensor = asset.sensors[index];
  const figure = h('span');
  const value = h('dd', {}, figure, ' ', h('span', { class: 'unit', text: unitText(sensor.unit) }));
  const element = h('div', {}, h('dt', { text: sensorName(asset.kind, sensor) }), value);
  element.show = () => {
    const now = asset.value(index);
    const side = beyond(sensor, now);
    put(figure, `${side ? (side.startsWith('hi') ? '▲\u00a0' : '▼\u00a0') : ''}${number(now, glanceDigits(sensor))}`);
    attr(value, 'class', side ? 'is-over' : null);
  };
  return element;
}

function noteText(asset, health) {
  if (health === 'learning') return t('page.plants.learning');
  if (health === 'offline') return t('page.plants.offline');
  if (health === 'stale') return t('page.plants.stale');
  if (health === 'ok') return t('page.plants.sensors', { n: asset.info.sensors });
  const line = cardLine(asset);
  if (line) return line;
  const tag = asset.top()[0]?.[0];
  if (!tag) return t('page.plants.sensors', { n: asset.info.sensors });
  const sensor = asset.sensors.find((one) => one.tag === tag) ?? { tag };
  return t('page.plants.leading', { name: sensorName(asset.kind, sensor) });
}

function emptyState() {
  return h(
    'div',
    { class: 'empty', hidden: true },
    h('h2', { text: t('page.empty.title') }),
    h('p', { text: t('page.empty.text') }),
    h('pre', {}, h('code', { text: 'lab replay FILE.csv --asset NAME' })),
    h('p', { text: t('page.empty.plant') }),
    h('pre', {}, h('code', { text: 'lab up' })),
  );
}
