/** Episodes: stretches of abnormal behaviour, newest first; as a short list, and as a table of one asset. */

import { attr, h, icon, keyed, put } from '../dom.js';
import { duration, number, percent, t, when } from '../i18n.js';
import { isCalm } from '../lab.js';
import { causeLine, freshened, leadText, leadingOf, listLine, tagName } from '../verdict.js';

const KIND = { process: 'page.episode.process', instrument: 'page.episode.instrument', upset: 'page.episode.upset' };

/** Whose it was: the user's word stands before the lab's. */
const whose = (row) => (row.told_kind && row.told_kind !== row.kind ? { kind: row.told_kind } : row);
const kindText = (row) => t(KIND[whose(row).upset?.length ? 'upset' : whose(row).kind] ?? KIND.process);
/** How it looks: in alarm once a failed sensor moves the plant. */
const look = (row) => (isCalm(whose(row)) ? 'instrument' : 'process');

/**
 * A list of episodes of all assets; `update(rows)`, `freshen()` between.
 * @param {import('../lab.js').Lab} lab
 * @param {{empty: string}} options
 */
export function episodeList(lab, options) {
  const list = h('ul', { class: 'episodes' });
  const none = h('p', { class: 'muted', text: options.empty });
  const element = h('div', {}, list, none);
  element.update = (rows) => {
    none.hidden = rows.length > 0;
    keyed(list, rows, (row) => row.id, () => episodeRow(lab));
    element.freshen = () => freshen(list, rows);
  };
  element.freshen = () => {};
  return element;
}

function episodeRow(lab) {
  const title = h('span', { class: 'episode-title' });
  const state = h('span', { class: 'episode-time' });
  const cause = h('span', { class: 'episode-cause' });
  const leading = h('span', { class: 'episode-leading' });
  const mark = h('span', { class: 'episode-mark' });
  const link = h('a', { class: 'episode' }, mark, h('span', { class: 'episode-body' }, title, state, cause, leading));
  const element = h('li', {}, link);
  element.update = (stored) => {
    const asset = lab.assets.get(stored.asset);
    const row = freshened(asset, stored);
    const open = !row.end;
    attr(link, 'href', `#/asset/${encodeURIComponent(row.asset)}`);
    attr(link, 'class', `episode ${open ? 'is-open' : ''} kind-${look(row)}`);
    marked(mark, row);
    put(title, asset?.name ?? row.asset);
    const length = duration(row.duration_s ?? 0);
    const time = when(row.start);
    put(state, `${kindText(row)} · ${t(open ? 'page.episode.open' : 'page.episode.closed', { time, length })}`);
    put(cause, listLine(asset, row));
    cause.hidden = !cause.textContent;
    put(leading, [t('page.episode.peak', { value: number(row.peak, 2) }), ...leadingTexts(asset, row)].join('\u00a0· '));
  };
  return element;
}

/** What the newest frame says of those that are open, so that it is the same everywhere on a page. */
function freshen(parent, rows) {
  rows.forEach((row, k) => row.end || parent.children[k]?.update(row));
}

/** Its icon, changed only when it is another one. */
function marked(mark, row) {
  const name = look(row) === 'instrument' ? 'instrument' : 'alarm';
  if (!mark.querySelector(`.icon-${name}`)) mark.replaceChildren(icon(name));
}

const leadingTexts = (asset, row) =>
  leadingOf(row).map(([tag, share]) => `${tagName(asset, tag)}\u00a0${percent(share)}`);

const COLUMNS = ['page.episode.began', 'page.episode.lasted', 'page.episode.what', 'page.episode.cause', 'page.episode.lead',
  'page.episode.peak_score', 'page.episode.leading'];

/**
 * The episodes of one asset with what they were and how early they were seen; `update(rows)`, `freshen()` between.
 * @param {import('../lab.js').Asset} asset
 * @param {(row: any) => void} tell  the user wants to say what an episode was
 */
export function episodeTable(asset, tell) {
  const body = h('tbody');
  const head = h('tr', {}, ...COLUMNS.map((key) => h('th', { scope: 'col', text: t(key) })), h('th', {}, h('span', { class: 'sr', text: t('page.cause.tell') })));
  const table = h('table', { class: 'episode-table' }, h('thead', {}, head), body);
  const none = h('p', { class: 'muted', text: t('page.episode.none') });
  const note = h('p', { class: 'muted table-note', text: t(asset.info.simulator ? 'page.episode.lead_note_plant' : 'page.episode.lead_note') });
  const element = h('div', {}, h('div', { class: 'scroll' }, table), none, note);
  element.update = (rows) => {
    none.hidden = rows.length > 0;
    table.hidden = note.hidden = rows.length === 0;
    keyed(body, rows, (row) => row.id, () => tableRow(asset, tell));
    element.freshen = () => freshen(body, rows);
  };
  element.freshen = () => {};
  return element;
}

function tableRow(asset, tell) {
  const cells = COLUMNS.slice(1).map((key) => h('td', { data: { label: t(key) } }));
  const [lasted, what, cause, lead, peak, leading] = cells;
  const began = h('th', { scope: 'row' });
  const mark = h('span', { class: 'episode-mark' });
  const kind = h('span');
  what.append(h('span', {}, mark, kind));
  peak.className = 'number';
  const name = h('span');
  const told = h('span', { class: 'muted told', text: t('page.cause.told') });
  cause.append(h('span', {}, name, ' ', told));
  let current = null;
  const button = h('button', { type: 'button', class: 'quiet', text: t('page.cause.tell'), on: { click: () => tell(current) } });
  const element = h('tr', {}, began, ...cells, h('td', { class: 'tell' }, button));
  element.update = (stored) => {
    const row = freshened(asset, stored);
    current = row;
    const open = !row.end;
    attr(element, 'class', `${open ? 'is-open' : ''} kind-${look(row)}`);
    put(began, when(row.start));
    put(lasted, open ? `${duration(row.duration_s)} (${t('page.episode.ongoing')})` : duration(row.duration_s));
    marked(mark, row);
    put(kind, kindText(row));
    put(name, causeLine(asset, row) ?? '–');
    told.hidden = !row.told;
    put(lead, leadText(asset, row));
    put(peak, number(row.peak, 2));
    put(leading, leadingTexts(asset, row).join('\u00a0· '));
    attr(button, 'aria-label', t('page.cause.tell_of', { time: when(row.start) }));
  };
  return element;
}
