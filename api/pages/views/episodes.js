/** Episodes: stretches of abnormal behaviour, newest first. */

import { h, icon, keyed, put } from '../dom.js';
import { duration, known, number, percent, sensorName, t, when } from '../i18n.js';

const KIND = { process: 'page.episode.process', instrument: 'page.episode.instrument' };

/**
 * A list of episodes; `update(rows)`.
 * @param {import('../lab.js').Lab} lab
 * @param {{withAsset: boolean, empty: string}} options
 */
export function episodeList(lab, options) {
  const list = h('ul', { class: 'episodes' });
  const none = h('p', { class: 'muted', text: options.empty });
  const element = h('div', {}, list, none);
  element.update = (rows) => {
    none.hidden = rows.length > 0;
    keyed(list, rows, (row) => row.id, () => episodeRow(lab, options.withAsset));
  };
  return element;
}

function episodeRow(lab, withAsset) {
  const title = h('span', { class: 'episode-title' });
  const state = h('span', { class: 'episode-time' });
  const leading = h('span', { class: 'episode-leading' });
  const mark = h('span', { class: 'episode-mark' });
  const link = h('a', { class: 'episode' }, mark, h('span', { class: 'episode-body' }, title, state, leading));
  const element = h('li', {}, link);
  element.update = (row) => {
    const asset = lab.assets.get(row.asset);
    const name = asset?.name ?? row.asset;
    const kind = t(KIND[row.kind] ?? KIND.process);
    const open = !row.end;
    link.href = `#/asset/${encodeURIComponent(row.asset)}`;
    link.className = `episode ${open ? 'is-open' : ''} kind-${row.kind}`;
    if (!mark.firstChild) mark.append(icon(row.kind === 'instrument' ? 'instrument' : 'alarm'));
    put(title, withAsset ? name : kind);
    const length = duration(row.duration_s ?? 0);
    const time = when(row.start);
    const span = open ? t('page.episode.open', { time, length }) : t('page.episode.closed', { time, length });
    put(state, withAsset ? `${kind} · ${span}` : span);
    put(leading, summary(asset, row));
  };
  return element;
}

function summary(asset, row) {
  const parts = [t('page.episode.peak', { value: number(row.peak, 2) })];
  const names = (row.leading ?? []).slice(0, 3).map(([tag, share]) => {
    const sensor = asset?.sensors.find((one) => one.tag === tag) ?? { tag };
    return `${sensorName(asset?.kind ?? '', sensor)}\u00a0${percent(share)}`;
  });
  if (row.cause) parts.push(known(`cause.${row.cause}`, row.cause));
  return [...parts, ...names].join('\u00a0· ');
}
