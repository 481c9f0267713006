/** One point: what is known of it, its readings and the fan of its forecast. */

import { get, segment } from '../api.js';
import { h, put, s } from '../dom.js';
import { known, number, t } from '../i18n.js';
import { errorLine, healthText, panel } from '../widgets.js';
import { chance, partText, pointText, rankText, serviceText } from './corrosion_map.js';

const W = 460;
const H = 250;
const BOX = { left: 34, right: 452, top: 20, bottom: 224 };
const YEAR_MS = 31_557_600_000;
const LONGEST_Y = 20;

/** Years and a fraction of an ISO date. */
const years = (iso) => 1970 + Date.parse(iso) / YEAR_MS;
/** @param {number|null} v */
export const yearsText = (v) => (v === null ? t('page.corrosion.far') : v > 99 ? '>99' : number(v, v < 10 ? 1 : 0));

/** Its 5 % and middle years; once where even the early one is far off. @param {(number|null)[]} life */
export const lifeText = ([low, middle]) => (low === null ? yearsText(low) : `${yearsText(low)} / ${yearsText(middle)}`);

/** Wet or dry while its score can be trusted, else its state. @param {import('../lab.js').Asset} asset */
export function wetText(asset) {
  const health = asset.health();
  if (health === 'alarm') return t('page.corrosion.wet');
  return health === 'ok' ? t('page.corrosion.dry') : healthText(health);
}

/** @param {import('../lab.js').Lab} lab @param {() => string[]} coated lines that are assumed to be coated anew */
export function pointPanel(lab, coated) {
  const error = errorLine();
  const name = h('strong', { class: 'point-name' });
  const rank = h('span', { class: 'rank-chip' });
  const where = h('p', { class: 'muted' });
  const chart = h('div', { class: 'point-chart' });
  const facts = h('dl', { class: 'facts-list' });
  const why = h('ul', { class: 'why' });
  const table = h('details', { class: 'point-readings' });
  const wet = h('strong');
  const lost = h('span', { class: 'muted' });
  const open = h('a', { text: t('page.corrosion.live_open') });
  const now = h('p', { class: 'point-live', hidden: true }, h('span', { class: 'caption', text: t('page.corrosion.live') }), wet, lost, open);
  const body = h('div', {}, h('div', { class: 'title-line' }, name, rank), where, now, chart, facts, why, table);
  const element = panel(t('page.corrosion.point'), 'corrosion-point', error, body);
  let asked = 0;
  let shown = '';

  /** What the point's own sensors say just now. */
  function live() {
    const asset = lab.assets.get(shown);
    now.hidden = asset?.kind !== 'piping';
    if (now.hidden) return;
    put(wet, wetText(asset));
    now.classList.toggle('is-wet', asset.health() === 'alarm');
    open.setAttribute('href', `#/asset/${segment(shown)}`);
  }

  async function show(id) {
    shown = id;
    live();
    asked += 1;
    const mine = asked;
    try {
      const lines = coated();
      const point = await get(`corrosion/points/${segment(id)}`, { coated: lines.length ? lines.join(',') : undefined });
      if (mine !== asked) return;
      error.update(null);
      fill(point);
    } catch (problem) {
      if (mine === asked) error.update(problem);
    }
  }

  function fill(point) {
    const { live: own } = point;
    put(lost, own?.since ? t('page.corrosion.live_lost', { since: own.since.slice(0, 10), lost: number(own.lost_um, 1), sigma: number(own.sigma_um, 1) })
      : own ? t('page.corrosion.live_began', { lost: number(own.lost_um, 1), sigma: number(own.sigma_um, 1) }) : '');
    put(name, pointText(point));
    put(rank, rankText(point.risk_class));
    rank.className = `rank-chip risk-${point.risk_class}`;
    const insulation = point.insulation ? known(`corrosion.insulation.${point.insulation}`, point.insulation) : '';
    const about = [point.unmeasured ? t('page.corrosion.unmeasured') : partText(point.part), serviceText(point.service)];
    if (point.insulation) about.push(t('page.corrosion.insulation', { kind: insulation }));
    put(where, about.filter(Boolean).join(' · '));
    chart.replaceChildren(history(point));
    const [slow, usual, fast] = point.rate_mm_y;
    facts.replaceChildren(
      pair(t('page.corrosion.p_next'), chance(point.p_next)),
      pair(t('page.corrosion.life'), lifeText(point.life_y)),
      pair(t('page.corrosion.rate'), `${number(usual, 2)} (${number(slow, 2)}–${number(fast, 2)})`),
      pair(t('page.corrosion.required'), `${number(point.required_mm, 2)} mm`),
      pair(t('page.corrosion.by_chance'), point.next_probabilistic ?? '–'),
      pair(t('page.corrosion.by_half_life'), point.next_half_life ?? '–'),
    );
    why.replaceChildren(...point.reasons.map((text) => h('li', { text })));
    readings(point);
  }

  function readings(point) {
    const rows = point.readings.map((one) => h('tr', {}, h('th', { scope: 'row', text: one.at }), h('td', { class: 'number', text: value(one) }),
      h('td', { text: known(`corrosion.method.${one.method}`, one.method) })));
    const columns = ['page.table.time', 'page.corrosion.thickness', 'page.corrosion.method'];
    const head = h('tr', {}, ...columns.map((key, k) => h('th', { scope: 'col', class: k === 1 ? 'number' : null, text: t(key) })));
    table.hidden = rows.length === 0;
    table.replaceChildren(h('summary', { class: 'muted', text: t('page.corrosion.readings', { n: rows.length }) }),
      h('table', {}, h('thead', {}, head), h('tbody', {}, ...rows)));
  }

  return { element, show, live };
}

const value = (one) => (one.mm === null ? one.between_mm.map((v) => number(v, 2)).join('–') : number(one.mm, 2));
const pair = (name, text) => h('div', {}, h('dt', { text: name }), h('dd', { text }));

/** Thickness over time: readings, forecast with its 5 to 95 % range, required and nominal thickness. */
function history(point) {
  const { forecast } = point;
  const first = Math.min(...point.readings.map((one) => years(one.at)), years(forecast.at[0]) - 4);
  const seen = forecast.at.filter((at) => at && years(at) <= years(forecast.at[0]) + LONGEST_Y).length;
  const ahead = forecast.at.slice(0, seen).map(years);
  const last = ahead[ahead.length - 1];
  const tops = [point.nominal_mm, ...point.readings.map((one) => one.mm ?? 0), ...forecast.high_mm.slice(0, 1)];
  const top = Math.max(...tops.filter((v) => v !== null)) * 1.08;
  const x = (at) => BOX.left + ((at - first + 0.5) / (last - first + 0.5)) * (BOX.right - BOX.left);
  const y = (mm) => BOX.bottom - (Math.max(0, Math.min(mm, top)) / top) * (BOX.bottom - BOX.top);
  const label = t('page.corrosion.chart', { name: point.id });
  const drawing = s('svg', { class: 'thickness', viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': label });
  const step = top > 12 ? 4 : top > 6 ? 2 : 1;
  for (let mm = 0; mm < top; mm += step) {
    drawing.append(s('path', { class: 'grid', d: `M${BOX.left} ${y(mm)}H${BOX.right}` }), word(BOX.left - 6, y(mm) + 4, String(mm), 'end'));
  }
  const every = last - first > 24 ? 10 : last - first > 11 ? 5 : 2;
  for (let year = Math.ceil(first / every) * every; year < last; year += every) {
    drawing.append(s('path', { class: 'tick', d: `M${x(year)} ${BOX.bottom}v4` }), word(x(year), BOX.bottom + 18, String(year), 'middle'));
  }
  drawing.append(word(4, 12, 'mm'));
  const edge = (values) => ahead.map((at, k) => `${x(at).toFixed(1)} ${y(values[k]).toFixed(1)}`);
  if (forecast.low_mm[0] !== null) {
    drawing.append(
      s('path', { class: 'fan', d: `M${edge(forecast.high_mm).join('L')}L${edge(forecast.low_mm).reverse().join('L')}Z` }),
      s('path', { class: 'middle', d: `M${edge(forecast.middle_mm).join('L')}` }),
    );
  }
  if (point.nominal_mm) drawing.append(s('path', { class: 'nominal', d: `M${BOX.left} ${y(point.nominal_mm)}H${BOX.right}` }));
  if (point.required_mm) {
    const at = y(point.required_mm);
    drawing.append(s('path', { class: 'required', d: `M${BOX.left} ${at}H${BOX.right}` }), word(BOX.left + 4, at - 5, t('page.corrosion.required'), 'start', 'required-word'));
  }
  const now = x(years(forecast.at[0]));
  drawing.append(s('path', { class: 'today', d: `M${now} ${BOX.top}V${BOX.bottom}` }), word(now, BOX.top - 6, t('page.corrosion.today'), 'middle'));
  const measured = point.readings.filter((one) => one.mm !== null);
  if (measured.length > 1) drawing.append(s('path', { class: 'measured', d: `M${measured.map((one) => `${x(years(one.at))} ${y(one.mm)}`).join('L')}` }));
  for (const one of point.readings) {
    if (one.mm !== null) drawing.append(s('circle', { class: 'reading', cx: x(years(one.at)), cy: y(one.mm), r: 4.5 }));
    else drawing.append(s('path', { class: 'between', d: `M${x(years(one.at))} ${y(one.between_mm[0])}V${y(one.between_mm[1])}` }));
  }
  return drawing;
}

function word(x, y, text, anchor = 'start', cls = '') {
  return s('text', { x, y, 'text-anchor': anchor, class: cls, text });
}
