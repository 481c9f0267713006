/** While an episode is open: the suspected cause, how long is left, process or instrument, and what can be told. */

import { h, keyed, put } from '../dom.js';
import { duration, percent, t, when } from '../i18n.js';
import { isCalm } from '../lab.js';
import { causeName, failedText, failingText, isUnknown, leadingOf, outlookText, ranked, suspectText, tagName, upsetText } from '../verdict.js';
import { panel } from '../widgets.js';
import { acceptNormal, tellCause } from './told.js';

const RANKED = 3;
/** A cause less likely than this is none to name. */
const LEAST = 0.001;
const UNKNOWN = '\u0000unknown';

/**
 * @param {import('../lab.js').Asset} asset
 * @param {(sentence: string) => void} said  something was told to the lab
 */
export function diagnosisPanel(asset, said) {
  const since = h('span', { class: 'muted' });
  const cause = part('page.cause', h('ol', { class: 'bars causes' }));
  const outlook = part('page.outlook', null);
  const kind = part('page.kind', null);
  const began = part('page.diagnosis.began', h('ol', { class: 'bars' }));
  const tell = h('button', { type: 'button', id: 'tell', text: t('page.cause.tell') });
  const accept = h('button', { type: 'button', id: 'accept', text: t('page.accept') });
  const element = panel(t('page.diagnosis'), 'diagnosis', h('div', { class: 'parts' }, cause, outlook, kind, began,
    h('div', { class: 'telling' }, tell, accept)));
  element.head.append(since);
  // Points of the piping have neither limits to reach nor operating points to accept.
  outlook.hidden = accept.hidden = asset.kind === 'piping';
  element.hidden = true;
  let rows = [];
  let speed = null;

  const row = (episode) => rows.find((one) => one.id === episode.id);
  const run = async (job) => {
    const sentence = await job();
    if (sentence) said(sentence);
  };
  tell.addEventListener('click', () => {
    const { episode } = asset;
    if (episode) run(() => tellCause(asset, { ...row(episode), ...episode }));
  });
  accept.addEventListener('click', () => run(() => acceptNormal(asset)));

  function showCause(episode, told) {
    const causes = ranked(episode).slice(0, RANKED).filter(([, chance], k) => k === 0 || chance >= LEAST);
    const none = episode.unknown === null || causes.length === 0;
    const unknown = isUnknown(episode);
    const why = episode.unknown === null ? 'page.cause.upset_alone' : 'page.cause.upset';
    if (told) cause.update(causeName(told), t('page.cause.told'));
    else if (episode.upset.length) cause.update(failedText(asset, episode.failed).what, t(why));
    else if (episode.failed) cause.update('–', t('page.cause.instrument'));
    else if (none) cause.update('–', t('page.cause.none'));
    else if (unknown) cause.update(`${t('page.cause.unknown')}\u00a0${percent(episode.unknown)}`, t('page.cause.unknown_why'));
    else cause.update(`${causeName(causes[0][0])}\u00a0${percent(causes[0][1])}`, t('page.cause.compared'));
    const rest = told || unknown ? causes : causes.slice(1);
    const bars = episode.failed || none ? [] : unknown && !told ? rest : [...rest, [UNKNOWN, episode.unknown]];
    keyed(cause.list, bars, ([name]) => name, ([name]) => bar(name === UNKNOWN ? t('page.cause.unknown_short') : causeName(name)));
  }

  return {
    element,
    setEpisodes(found) {
      rows = found;
    },
    setPlant(plant) {
      speed = plant?.speed ?? null;
    },
    draw() {
      const { episode } = asset;
      element.hidden = !episode;
      if (!episode) return;
      const open = row(episode);
      const instrument = episode.kind === 'instrument';
      element.classList.toggle('is-instrument', isCalm(episode));
      put(since, open ? t('page.episode.open', { time: when(open.start), length: duration(open.duration_s) }) : '');
      showCause(episode, open?.told ? open.cause : null);
      const left = outlookText(asset, episode.outlook);
      const note = episode.outlook && left.range && speed ? t('page.outlook.plant_time', { n: speed }) : '';
      outlook.update(left.head, left.until, [left.range, note].filter(Boolean).join(' '));
      outlook.classList.toggle('is-over', Boolean(left.over));
      const suspects = suspectText(asset, episode.suspects);
      const { what, why } = episode.failed
        ? failedText(asset, episode.failed)
        : { what: suspects, why: instrument ? '' : suspects ? t('page.suspect.why') : failingText(asset, episode.outlook) || t('page.kind.process_why') };
      const moved = upsetText(asset, episode.upset);
      if (open?.told_kind && open.told_kind !== episode.kind) {
        const lab = t(moved ? 'page.kind.upset' : instrument ? 'page.kind.instrument' : 'page.kind.process');
        kind.update(t(open.told_kind === 'instrument' ? 'page.kind.instrument' : 'page.kind.process'), t('page.cause.told'), t('page.kind.lab', { verdict: lab }));
      } else if (moved) kind.update(t('page.kind.upset'), [moved, suspects].filter(Boolean).join(' '), t('page.upset.why'));
      else kind.update(t(instrument ? 'page.kind.instrument' : 'page.kind.process'), what, why);
      const leading = open ? leadingOf(open) : [];
      began.hidden = leading.length === 0;
      keyed(began.list, leading, ([tag]) => tag, ([tag]) => bar(tagName(asset, tag), tag));
    },
  };
}

/** A caption, a head, lines under it and perhaps a list; `update(head, ...lines)`. */
function part(caption, list) {
  const head = h('strong');
  const lines = [h('p', { class: 'part-line' }), h('p', { class: 'muted' })];
  const order = list ? [lines[1], list] : lines;
  const element = h('div', { class: 'part' }, h('h3', { class: 'caption', text: t(caption) }), head, ...order);
  element.list = list;
  head.hidden = true;
  for (const line of lines) line.hidden = true;
  element.update = (text, ...more) => {
    put(head, text);
    head.hidden = !text;
    const wanted = list ? [more[0]] : more;
    const shown = list ? [lines[1]] : lines;
    shown.forEach((line, k) => {
      put(line, wanted[k] ?? '');
      line.hidden = !wanted[k];
    });
  };
  return element;
}

function bar(name, title = null) {
  const share = h('span', { class: 'bar-share' });
  const fill = h('span', { class: 'bar-fill' });
  const element = h('li', {}, h('span', { class: 'bar-name', text: name, title }), share,
    h('span', { class: 'bar-track', 'aria-hidden': 'true' }, fill));
  element.update = ([, chance]) => {
    put(share, percent(chance));
    fill.style.width = `${Math.min(100, chance * 100).toFixed(1)}%`;
  };
  return element;
}
