/** External corrosion: the piping coloured by risk, the ranking, one point's history, the plan and its what-ifs. */

import { get, segment } from '../api.js';
import { h, keyed, put } from '../dom.js';
import { number, t } from '../i18n.js';
import { errorLine, fact, panel } from '../widgets.js';
import { chance, corrosionMap, partText, pointText, rankText, riskLegend } from './corrosion_map.js';
import { planPanel } from './corrosion_plan.js';
import { lifeText, pointPanel, wetText } from './corrosion_point.js';

const LINES = 500;
const RANKED = 25;

/** @param {import('../main.js').Context} context @returns {import('../main.js').View} */
export function corrosionView({ lab, path }) {
  const summary = h('p', { class: 'summary' });
  const size = fact(t('page.corrosion.size'));
  const now = fact(t('page.corrosion.below_now'));
  const next = fact(t('page.corrosion.below_next'));
  const due = fact(t('page.corrosion.due'));
  const error = errorLine();
  const wait = h('p', { class: 'muted', role: 'status', text: t('page.corrosion.wait') });
  const plan = planPanel({ planned, choose });
  const live = livePanel(lab, choose);
  const detail = pointPanel(lab, plan.coated);
  const map = corrosionMap(choose);
  const mapBox = h('div', { class: 'piping-box', tabindex: '0' }, map.element);
  const mapPanel = panel(t('page.corrosion.map'), 'corrosion-map', mapBox);
  mapPanel.head.append(riskLegend());
  const moreLines = h('p', { class: 'muted', hidden: true });
  mapPanel.append(moreLines);
  mapPanel.insertBefore(live.element, mapBox);
  const ranking = rankingPanel(choose);
  const body = h('div', { class: 'corrosion-body', hidden: true }, mapPanel, detail.element, plan.element, ranking.element);
  const element = h('div', { class: 'view corrosion' },
    h('header', { class: 'view-head' }, h('div', {}, h('h1', { text: t('page.nav.corrosion') }), summary), h('div', { class: 'facts' }, size, now, next, due)),
    error, wait, body);
  let chosen = path.join('/') || null;
  let places = new Map();
  let changed = null;
  let gone = false;

  async function refresh() {
    try {
      const [about] = await Promise.all([get('corrosion'), lab.refresh()]);
      if (gone) return;
      error.update(null);
      live.show();
      wait.hidden = true;
      body.hidden = false;
      put(summary, t(about.source === 'simulated' ? 'page.corrosion.simulated' : 'page.corrosion.imported', { at: about.at, years: number(about.next_y, 0) }));
      size.update(t('page.corrosion.size_value', { lines: number(about.lines, 0), points: number(about.points, 0) }));
      now.update(number(about.outlook.below_now, 1));
      next.update(number(about.outlook.below_next, 1));
      due.update(number(about.outlook.due_within_a_year, 0));
      if (changed === `${about.changed}${about.at}`) return;
      const [{ lines, total }, ranked] = await Promise.all([get('corrosion/lines', { limit: LINES }), get('corrosion/points', { limit: RANKED })]);
      if (gone) return;
      changed = `${about.changed}${about.at}`;
      map.show(lines);
      moreLines.hidden = total <= lines.length;
      put(moreLines, t('page.corrosion.more_lines', { n: number(total - lines.length, 0) }));
      live.known(new Set(lines.flatMap((line) => line.points.map((point) => point.id))));
      plan.lines(lines);
      ranking.show(ranked);
      chosen ??= ranked.points[0]?.id ?? null;
      if (chosen) choose(chosen);
      plan.ask();
    } catch (problem) {
      wait.hidden = true;
      error.update(problem);
    }
  }

  function choose(id) {
    chosen = id;
    history.replaceState(null, '', `#/corrosion/${segment(id)}`);
    map.mark(id, places);
    ranking.mark(id);
    map.reveal();
    detail.show(id);
  }

  function planned(rows) {
    places = new Map(rows.map((row) => [row.id, row.in_plan]));
    map.mark(chosen, places);
    if (chosen) detail.show(chosen);
  }

  refresh();
  return {
    element,
    title: t('page.nav.corrosion'),
    refresh,
    refreshMs: 15_000,
    frame() {
      live.show();
      detail.live();
    },
    tick() {
      live.show();
    },
    destroy() {
      gone = true;
      plan.destroy();
    },
  };
}

/** The points that have live sensors: wet or dry, as their episodes say. */
function livePanel(lab, choose) {
  const list = h('ul', { class: 'live-points' });
  const element = h('div', { class: 'live-row' }, h('span', { class: 'caption', text: t('page.corrosion.live') }), list);
  let ids = new Set();
  return {
    element,
    /** Only points of this piping: sensors of the simulated one go on when one's own files have been imported. */
    known(found) {
      ids = found;
      this.show();
    },
    show() {
      const points = [...lab.assets.values()].filter((asset) => asset.kind === 'piping' && ids.has(asset.id)).sort((a, b) => (a.id < b.id ? -1 : 1));
      element.hidden = points.length === 0;
      keyed(list, points, (asset) => asset.id, (asset) => livePoint(asset, choose));
    },
  };
}

function livePoint(asset, choose) {
  const state = h('span');
  const button = h('button', { type: 'button', class: 'live-point', on: { click: () => choose(asset.id) } }, h('span', { text: asset.id }), state);
  const element = h('li', {}, button);
  element.update = () => {
    const health = asset.health();
    put(state, wetText(asset));
    button.className = `live-point is-${health}`;
  };
  return element;
}

function rankingPanel(choose) {
  const columns = [['page.corrosion.point'], ['page.corrosion.risk'], ['page.corrosion.chance', true], ['page.corrosion.last', true],
    ['page.corrosion.rate', true], ['page.corrosion.life', true], ['page.corrosion.by_chance', true], ['page.corrosion.by_half_life', true]];
  const head = h('tr', {}, h('th', { scope: 'col', class: 'number', text: '#' }),
    ...columns.map(([key, number]) => h('th', { scope: 'col', class: number ? 'number' : null, text: t(key) })));
  const body = h('tbody');
  const more = h('p', { class: 'muted' });
  const table = h('div', { class: 'scroll', tabindex: '0' }, h('table', {}, h('thead', {}, head), body));
  const element = panel(t('page.corrosion.ranking'), 'corrosion-ranking', table, more);
  return {
    element,
    show({ points, total }) {
      keyed(body, points, (point) => point.id, () => rankedRow(choose));
      more.hidden = total <= points.length;
      put(more, t('page.corrosion.more', { n: number(total - points.length, 0) }));
    },
    mark(id) {
      for (const row of body.children) row.classList.toggle('is-chosen', row.dataset.key === id);
    },
  };
}

function rankedRow(choose) {
  const cells = {};
  for (const name of ['place', 'p', 'last', 'rate', 'life', 'rule', 'half']) cells[name] = h('td', { class: 'number' });
  const link = h('a', {});
  const part = h('span', { class: 'muted' });
  const risk = h('span', { class: 'rank-chip' });
  const row = h('tr', {}, cells.place, h('th', { scope: 'row' }, link, ' ', part), h('td', {}, risk), cells.p, cells.last, cells.rate, cells.life, cells.rule, cells.half);
  let id = '';
  link.addEventListener('click', (event) => {
    event.preventDefault();
    choose(id);
  });
  row.update = (point) => {
    id = point.id;
    link.setAttribute('href', `#/corrosion/${segment(id)}`);
    put(link, pointText(point));
    put(part, point.unmeasured ? t('page.corrosion.unmeasured') : partText(point.part));
    risk.className = `rank-chip risk-${point.risk_class}`;
    put(risk, rankText(point.risk_class));
    put(cells.place, String(point.ranking));
    put(cells.p, chance(point.p_next));
    put(cells.last, point.last_mm === null ? '–' : number(point.last_mm, 2));
    put(cells.rate, number(point.rate_mm_y[1], 2));
    put(cells.life, lifeText(point.life_y));
    put(cells.rule, point.next_probabilistic ?? '–');
    put(cells.half, point.next_half_life ?? '–');
  };
  return row;
}
