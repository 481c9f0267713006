/** What the lab makes of an open episode, in words: cause, time to the limit, process or instrument. */

import { duration, known, number, percent, sensorName, t, unitText } from './i18n.js';

const FAULTS = {
  frozen: ['page.fault.frozen', 'page.fault.frozen_why'],
  silent: ['page.fault.silent', 'page.fault.silent_why'],
  spiking: ['page.fault.spiking', 'page.fault.spiking_why'],
  range: ['page.fault.range', 'page.fault.range_why'],
};
const SURE = 0.5;

/** A cause's name: faults of the simulated plant by the catalogue and with their number (some differ in kind alone). */
export function causeName(cause) {
  const n = /^idv_(\d+)$/.exec(cause)?.[1];
  const name = n && known(`idv.tep.${n}`, '');
  return name ? t('page.cause.numbered', { n, name }) : cause;
}

/** @param {import('./lab.js').Asset|undefined} asset @param {string} tag */
export const tagName = (asset, tag) => sensorName(asset?.kind ?? '', sensorOf(asset, tag));

const sensorOf = (asset, tag) => asset?.sensors.find((one) => one.tag === tag) ?? { tag };

/**
 * What is wrong with an instrument, and how that shows.
 * @param {import('./lab.js').Asset|undefined} asset @param {import('./lab.js').Failed} failed
 */
export function failedText(asset, failed) {
  const name = tagName(asset, failed.sensor);
  const [what, why] = FAULTS[failed.fault] ?? [];
  return what ? { what: t(what, { name }), why: t(why) } : { what: `${name}: ${failed.fault}`, why: '' };
}

/**
 * Which sensors to check because they had failed before; an empty text for none.
 * @param {import('./lab.js').Asset|undefined} asset @param {import('./lab.js').Failed[]} suspects
 */
export const suspectText = (asset, suspects) => suspects?.length
  ? t('page.suspect', { what: suspects.map((one) => failedText(asset, one).what).join(t('page.suspect.and')) })
  : '';

/**
 * Which sensors show nothing, or have failed, by now, though that explains nothing; an empty text for none.
 * @param {import('./lab.js').Asset} asset @param {any} outlook
 */
export function failingText(asset, outlook) {
  const failing = asset.instruments.filter((one) => one.ago_s === 0);
  const silent = (outlook?.unseen ?? []).filter((one) => !failing.some((other) => other.sensor === one.sensor));
  const all = [...failing, ...silent.map((one) => ({ ...one, fault: 'silent' }))];
  return all.length ? t('page.kind.process_failing', { what: all.map((one) => failedText(asset, one).what).join(t('page.suspect.and')) }) : '';
}

/**
 * By which sensors the plant left its usual values because of a failed one; an empty text for none.
 * @param {import('./lab.js').Asset|undefined} asset @param {string[]} upset
 */
export const upsetText = (asset, upset) => upset?.length
  ? t('page.upset', { names: upset.map((tag) => tagName(asset, tag)).join(t('page.suspect.and')) })
  : '';

/** A forecast's time: no more digits than it deserves. @param {number} seconds */
export function roughly(seconds) {
  if (seconds < 60) return t('page.outlook.soon');
  const coarse = seconds < 5400 ? seconds : Math.round(seconds / 300) * 300;
  const hours = seconds < 21_600 ? coarse / 3600 : Math.round(seconds / 3600);
  if (hours >= 2 && hours < 48 && Number.isInteger(hours)) return t('page.time.hours', { n: hours });
  return duration(coarse);
}

/** Whether a forecast is of the sensor's trip (else of its alarm), and the limit's value; null where it is not told. */
function limitOf(sensor, limit) {
  const limits = sensor.limits ?? {};
  const trips = [limits.lo_trip, limits.hi_trip].filter((value) => value != null);
  if (limit == null) return { trip: trips.length > 0, value: null };
  const value = `${number(limit, Number.isInteger(limit) ? 0 : undefined)}\u00a0${unitText(sensor.unit)}`.trim();
  return { trip: trips.includes(limit), value };
}

const anyTrip = (asset) => asset.sensors.some((one) => one.limits?.hi_trip != null || one.limits?.lo_trip != null);

/**
 * How long until which limit: a head, what it is until, and how sure that is.
 * @param {import('./lab.js').Asset} asset @param {any} outlook
 */
export function outlookText(asset, outlook) {
  if (!outlook) {
    const why = asset.episode?.failed && !asset.alarmed ? 'page.outlook.calm' : 'page.outlook.unknown_why';
    return { head: t('page.outlook.unknown'), until: '', range: t(why) };
  }
  const passed = outlook.reached && tagName(asset, outlook.reached);
  const unseen = unseenText(asset, outlook);
  if (passed && !comes(outlook)) {
    const range = outlook.lead_s == null ? '' : t('page.outlook.reached_after', { time: duration(outlook.lead_s) });
    return { head: t('page.outlook.reached', { name: passed }), until: '', range: sentences(range, unseen), over: true };
  }
  if (!outlook.sensor) {
    const lost = wasInSight(outlook);
    const least = outlook.low_s && !lost ? t('page.outlook.none_least', { low: roughly(outlook.low_s) }) : '';
    return { head: isOpen(outlook) ? t('page.outlook.open') : noneText(asset, outlook), until: '', range: sentences(least, unseen), over: lost };
  }
  const sensor = sensorOf(asset, outlook.sensor);
  const name = sensorName(asset.kind, sensor);
  const { trip, value } = limitOf(sensor, outlook.limit);
  const until = trip
    ? t(value ? 'page.outlook.trip_at' : 'page.outlook.trip', { name, value })
    : t(value ? 'page.outlook.alarm_at' : 'page.outlook.alarm', { name, value });
  const low = roughly(outlook.low_s ?? 0);
  const range = outlook.high_s == null
    ? t('page.outlook.beyond', { low })
    : t('page.outlook.between', { low, high: roughly(outlook.high_s) });
  const head = outlook.time_s < 60 ? t('page.outlook.soon_head') : t('page.outlook.about', { time: roughly(outlook.time_s) });
  const silent = outlook.silent_s ? t('page.outlook.silent', { name, time: duration(outlook.silent_s) }) : '';
  const too = passed ? t('page.outlook.reached_too', { name: passed }) : '';
  return { head, until, range: sentences(range, silent, too, unseen), over: true };
}

const sentences = (...parts) => parts.filter(Boolean).join(' ');

/** Whether the limit of a sensor that shows nothing now was in sight when it last did. @param {any} outlook */
const wasInSight = (outlook) => outlook.unseen?.[0]?.time_s != null;

/** Whether nothing can be said: such a limit is to come, or no sensor with a limit shows anything. @param {any} outlook */
const isOpen = (outlook) => !outlook.sensor && (wasInSight(outlook) || (outlook.watched === 0 && outlook.unseen.length > 0));

/** That no limit is in sight, of what is seen. @param {import('./lab.js').Asset|undefined} asset @param {any} outlook */
function noneText(asset, outlook) {
  const trip = asset && anyTrip(asset);
  if (outlook.unseen?.length) return t(trip ? 'page.outlook.none_seen' : 'page.outlook.none_seen_alarm');
  return t(trip ? 'page.outlook.none' : 'page.outlook.none_alarm');
}

/**
 * Of which sensors with a limit nothing is seen, and what was foretold of them; an empty text for none.
 * @param {import('./lab.js').Asset} asset @param {any} outlook
 */
function unseenText(asset, outlook) {
  const unseen = outlook.unseen ?? [];
  const lost = unseen.filter((one) => one.time_s != null).map((one) => lostText(asset, one));
  const names = unseen.filter((one) => one.time_s == null).map((one) => tagName(asset, one.sensor));
  return sentences(...lost, names.length ? t('page.outlook.unseen', { names: names.join(t('page.suspect.and')) }) : '');
}

/** What was foretold of a sensor that shows nothing any more. @param {import('./lab.js').Asset} asset @param {any} one */
function lostText(asset, one) {
  const what = { name: tagName(asset, one.sensor), ago: duration(one.silent_s) };
  if (one.time_s === 0) return t('page.outlook.lost_beyond', what);
  const text = t('page.outlook.lost', { ...what, time: roughly(one.time_s), low: roughly(one.low_s ?? 0), high: roughly(one.high_s) });
  return one.time_s <= one.silent_s ? sentences(text, t('page.outlook.lost_passed')) : text;
}

/** Whether a limit is to come: of another sensor, where one has reached its own. @param {any} outlook */
const comes = (outlook) => Boolean(outlook.sensor) && outlook.sensor !== outlook.reached && outlook.time_s > 0;

/** Whether the library knows nothing like it. @param {{causes: any[], unknown: number|null}} episode */
export const isUnknown = (episode) => episode.unknown !== null && episode.unknown > SURE;

/**
 * What it was or may be, in one line; null without a library to compare with.
 * @param {import('./lab.js').Asset|undefined} asset
 * @param {any} episode  of the API, or of `Asset.episode`: causes as [cause, probability] or as objects
 */
export function causeLine(asset, episode) {
  if (episode.told) return causeName(episode.cause);
  if (episode.failed) return failedText(asset, episode.failed).what;
  const [first] = ranked(episode);
  if ((!first || isUnknown(episode)) && episode.suspects?.length) return suspectText(asset, episode.suspects.slice(0, 1));
  if (!first) return null;
  if (isUnknown(episode)) return t('page.cause.unknown_short');
  return `${causeName(first[0])}\u00a0${percent(first[1])}`;
}

/** Causes as [cause, probability], the likeliest first. @param {any} episode @returns {[string, number][]} */
export const ranked = (episode) => (episode.causes ?? []).map((one) => (Array.isArray(one) ? one : [one.cause, one.probability]));

const LED = 3;
/** What is less than this would stand there as 0 %: it leads nothing. */
const LEAST_SHARE = 0.005;

/** The sensors an episode began with, the largest share first. @param {any} row @returns {[string, number][]} */
export const leadingOf = (row) => (row.leading ?? []).slice(0, LED).filter(([, share], k) => k === 0 || share >= LEAST_SHARE);

/** A stored episode with what is said of it now while it is open; it is written more rarely. @param {any} row */
export function freshened(asset, row) {
  const now = asset?.episode;
  return now && !row.end && now.id === row.id ? { ...row, ...now } : row;
}

/** An open episode's cause and time to the limit, for a card. @param {import('./lab.js').Asset} asset @returns {string} */
export function cardLine(asset) {
  const episode = asset.episode;
  if (!episode) return '';
  const { outlook } = episode;
  const { told } = asset.info;
  const own = told?.episode === episode.id ? { ...episode, told: true, cause: told.cause } : episode;
  return [causeLine(asset, own), leftLine(asset, outlook)].filter(Boolean).join(' · ');
}

/** How long is left, in a few words; null without a forecast. @param {import('./lab.js').Asset} asset @param {any} outlook */
function leftLine(asset, outlook) {
  if (!outlook) return null;
  if (outlook.reached && !comes(outlook)) return t('page.outlook.reached', { name: tagName(asset, outlook.reached) });
  if (!outlook.sensor) return isOpen(outlook) ? t('page.outlook.card_open') : noneText(asset, outlook);
  const { trip } = limitOf(sensorOf(asset, outlook.sensor), outlook.limit);
  return t(trip ? 'page.outlook.card_trip' : 'page.outlook.card_alarm', { time: plantTime(asset, roughly(outlook.time_s)) });
}

/** A time, and that it is the plant's own: a simulated one runs faster than the clock. */
const plantTime = (asset, time) => asset?.info.simulator ? t('page.outlook.plant_short', { time }) : time;

/** An episode's cause and time for a list: what is left while it is open, else how early it was. @param {any} row */
export function listLine(asset, row) {
  const left = row.outlook?.reached
    ? t('page.episode.lead_of', { time: plantTime(asset, leadText(asset, row)) })
    : asset && !row.end && row.outlook?.sensor ? leftLine(asset, row.outlook) : null;
  return [causeLine(asset, row), left].filter(Boolean).join('\u00a0· ');
}

/** An episode's lead time: reached after, or left. @param {import('./lab.js').Asset|undefined} asset @param {any} row */
export function leadText(asset, row) {
  const { outlook } = row;
  if (!outlook) return '–';
  if (outlook.reached) {
    return t('page.episode.lead_reached', { time: duration(outlook.lead_s ?? 0), name: tagName(asset, outlook.reached) });
  }
  if (row.end) return t('page.episode.not_reached');
  if (outlook.sensor) return t('page.episode.lead_left', { time: roughly(outlook.time_s) });
  return isOpen(outlook) ? t('page.outlook.open') : noneText(asset, outlook);
}
