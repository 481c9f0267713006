/** One asset: its flowsheet, score, contributions, trends, episodes and sensors; the simulator's drawer beside it. */

import { get, segment } from '../api.js';
import { attr, h, icon, put } from '../dom.js';
import { ago, t } from '../i18n.js';
import { badge, errorLine, panel, segmented } from '../widgets.js';
import { controlPanel, paceText } from './control.js';
import { diagnosisPanel } from './diagnosis.js';
import { episodeTable } from './episodes.js';
import { instrumentsPanel } from './instruments.js';
import { mimicPanel } from './mimic.js';
import { contributionsPanel, scorePanel } from './score.js';
import { sensorsPanel } from './sensors.js';
import { acceptNormal, mendCauses, tellCause, undoAccepted } from './told.js';
import { trendsPanel } from './trends.js';

const RANGES = [
  { ms: 300_000, key: 'page.range.5min' },
  { ms: 900_000, key: 'page.range.15min' },
  { ms: 3_600_000, key: 'page.range.1h' },
  { ms: 21_600_000, key: 'page.range.6h' },
  { ms: 86_400_000, key: 'page.range.24h' },
];
const EPISODES = 30;
/** As many more by a press, and as many as one answer can hold. */
const OLDER = 100;
const MOST = 500;
const NOTICE_MS = 12_000;

/** @param {import('../main.js').Context} context @returns {import('../main.js').View} */
export function assetView({ lab, path }) {
  const [id] = path;
  const error = errorLine();
  const notice = h('p', { class: 'notice', role: 'status' });
  const body = h('div', { class: 'asset-body' });
  const title = h('h1', { text: lab.assets.get(id)?.name ?? id });
  const state = badge();
  const age = h('span', { class: 'muted' });
  const speed = h('span', { class: 'muted' });
  const tools = h('div', { class: 'tools' });
  const main = h(
    'div',
    { class: 'asset-main' },
    h('header', { class: 'view-head' },
      h('div', { class: 'asset-name' }, h('a', { class: 'back', href: '#/' }, icon('back'), h('span', { text: t('page.nav.plants') })),
        h('div', { class: 'title-line' }, title, state), h('p', { class: 'asset-facts' }, age, speed)),
      tools),
    error,
    notice,
    body,
  );
  const element = h('div', { class: 'view asset' }, main);
  let asset = null;
  let parts = [];
  let drawer = null;
  let episodes = null;
  let most = EPISODES;
  const more = () => { most = Math.min(MOST, most + OLDER); refresh(); };
  const older = h('button', { type: 'button', id: 'older', text: t('page.episode.older'), hidden: true, on: { click: more } });
  let rangeMs = Number(localStorage.getItem('lab.range')) || RANGES[1].ms;
  let gone = false;
  let noticeTimer;

  async function start() {
    try {
      asset = await lab.asset(id, true);
    } catch (problem) {
      if (!gone) error.update(problem);
      return;
    }
    if (gone || parts.length) return;
    error.update(null);
    build();
    await refresh();
  }

  function build() {
    put(title, asset.name);
    const choices = RANGES.map(({ ms, key }) => ({ value: ms, text: t(key) }));
    const ranges = segmented(t('page.range'), choices, rangeMs, (ms) => {
      rangeMs = ms;
      localStorage.setItem('lab.range', String(ms));
      ranges.update(ms);
      for (const part of parts) part.setRange?.(ms);
    });
    tools.replaceChildren(ranges);
    if (asset.info.simulator) tools.append(drawerButton());
    const isTep = asset.kind === 'tep' && asset.sensors.some((sensor) => sensor.tag === 'xmeas_7');
    const diagnosis = diagnosisPanel(asset, said);
    const score = scorePanel(lab, asset, () => tell(() => acceptNormal(asset)), () => tell(() => undoAccepted(asset)));
    const contributions = contributionsPanel(asset);
    const trends = trendsPanel(lab, asset);
    const instruments = instrumentsPanel(asset);
    const sensors = sensorsPanel(asset);
    episodes = episodeTable(asset, (row) => tell(() => tellCause(asset, row)));
    const episodePanel = panel(t('page.episodes'), 'episodes-panel', episodes, older);
    const mend = h('button', { type: 'button', class: 'quiet', id: 'causes', text: t('page.causes') });
    mend.addEventListener('click', () => tell(() => mendCauses(asset)));
    episodePanel.head.append(mend);
    const mimic = isTep ? mimicPanel(asset) : null;
    parts = [diagnosis, mimic, score, contributions, trends, instruments, sensors].filter(Boolean);
    body.classList.toggle('has-mimic', isTep);
    body.replaceChildren(
      diagnosis.element,
      ...(mimic ? [mimic.element] : []),
      h('div', { class: 'now' }, score.element, contributions.element),
      trends.element,
      episodePanel,
      instruments.element,
      sensors.element,
    );
    for (const part of parts) part.setRange?.(rangeMs);
    score.load();
    if (asset.info.simulator && localStorage.getItem('lab.drawer') === 'open' && innerWidth > 1100) openDrawer();
  }

  /** Do what a dialog is for. @param {() => Promise<string|null>} job  what was done, as a sentence */
  async function tell(job) {
    try {
      const sentence = await job();
      if (sentence) said(sentence);
    } catch (problem) {
      error.update(problem);
    }
  }

  function said(sentence) {
    put(notice, sentence);
    clearTimeout(noticeTimer);
    noticeTimer = setTimeout(() => put(notice, ''), NOTICE_MS);
    refresh();
  }

  function drawerButton() {
    const button = h('button', { type: 'button', class: 'primary', id: 'drawer', 'aria-expanded': 'false' });
    button.append(icon('control'), h('span', { text: t('page.control') }));
    button.addEventListener('click', () => (drawer ? closeDrawer() : openDrawer(true)));
    return button;
  }

  function openDrawer(focus = false) {
    const close = h('button', { type: 'button', class: 'quiet', title: t('page.close'), on: { click: closeDrawer } });
    close.append(icon('close'), h('span', { class: 'sr', text: t('page.close') }));
    drawer = controlPanel(lab, asset, close);
    const keys = { keydown: (event) => event.key === 'Escape' && closeDrawer() };
    element.append(h('aside', { class: 'drawer', 'aria-label': t('page.control'), on: keys }, drawer.element));
    element.classList.add('has-drawer');
    attr(tools.querySelector('#drawer'), 'aria-expanded', 'true');
    localStorage.setItem('lab.drawer', 'open');
    if (focus) close.focus();
  }

  function closeDrawer() {
    drawer?.destroy();
    drawer = null;
    element.querySelector('.drawer')?.remove();
    element.classList.remove('has-drawer');
    localStorage.removeItem('lab.drawer');
    const button = tools.querySelector('#drawer');
    attr(button, 'aria-expanded', 'false');
    button?.focus();
  }

  async function refresh() {
    if (!asset) {
      await start();
      return;
    }
    try {
      const jobs = [get('episodes', { asset: id, limit: most }), get(`assets/${segment(id)}`)];
      if (!asset.sensors.length) jobs.push(lab.asset(id));
      const [{ episodes: rows, next }, info] = await Promise.all(jobs);
      if (gone) return;
      asset.info = { ...asset.info, ...info };
      episodes.update(rows);
      older.hidden = !next || most === MOST;
      for (const part of parts) part.setEpisodes?.(rows);
      if (asset.info.simulator && !drawer) showSpeed(await get(`simulators/${segment(id)}`).catch(() => null));
      error.update(null);
    } catch (problem) {
      error.update(problem);
    }
  }

  function showSpeed(plant) {
    for (const part of parts) part.setPlant?.(plant);
    put(speed, plant?.speed ? paceText(asset.kind, plant) : '');
    attr(speed, 'class', plant?.tripped ? 'is-over' : 'muted');
  }

  function facts() {
    if (!asset) return;
    state.update(asset.health());
    const seconds = asset.ageSeconds();
    put(age, seconds === null ? t('page.plants.never') : t('page.asset.age', { time: ago(seconds) }));
    if (drawer?.plant) showSpeed(drawer.plant);
  }

  start();
  return {
    element,
    get title() {
      return lab.assets.get(id)?.name ?? id;
    },
    refresh,
    refreshMs: 5000,
    frame() {
      for (const part of parts) part.frame?.();
    },
    tick: facts,
    gap() {
      for (const part of parts) part.load?.();
    },
    draw(now) {
      facts();
      drawer?.draw();
      episodes?.freshen();
      for (const part of parts) part.draw?.(now);
    },
    destroy() {
      gone = true;
      clearTimeout(noticeTimer);
      drawer?.destroy();
      for (const part of parts) part.destroy?.();
    },
  };
}
