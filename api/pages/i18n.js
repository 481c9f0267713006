/** Texts from the lab's catalogue, and numbers and times as people of that language write them. */

import { get } from './api.js';

/** @type {Record<string, string>} */
let texts = {};
let lang = document.documentElement.lang || 'en';

/** Fetch the catalogue of a language and make it the page's. @param {string} next `ja` or `en` */
export async function load(next) {
  texts = await get(`text/${next}`);
  lang = next;
  document.documentElement.lang = next;
  localStorage.setItem('lab.lang', next);
}

/** @returns {string} the language in use */
export const language = () => lang;

/**
 * The text of a key; a key that is missing shows itself, which is easier to report than an empty place.
 * @param {string} key
 * @param {Record<string, string|number>} [values] for `{name}` in the text
 */
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The text of a key from another area's catalogue, or a fallback. @param {string} key @param {string} otherwise */
export const known = (key, otherwise) => texts[key] ?? otherwise;

/** Beyond these a number without declared decimals is written with a power of ten: 9.870E-10, not 0.000000. */
const TINY = 1e-5;
const HUGE = 1e9;

/**
 * @param {number|null|undefined} value
 * @param {number} [decimals] fixed; without it four significant digits
 */
export function number(value, decimals = undefined) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  if (decimals === undefined && size !== 0 && (size < TINY || size >= HUGE)) return formatter(3, 'scientific').format(value);
  return formatter(decimals ?? significant(value)).format(value);
}

const formatters = new Map();
function formatter(decimals, notation = 'standard') {
  const key = `${lang}${decimals}${notation}`;
  if (!formatters.has(key)) {
    const digits = { notation, minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    formatters.set(key, new Intl.NumberFormat(lang, digits));
  }
  return formatters.get(key);
}

function significant(value) {
  const size = Math.abs(value);
  if (size === 0 || size >= 1000) return 0;
  return Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(size))));
}

/** @param {number} share 0 to 1 */
export const percent = (share) => (share > 0 && share < 0.005 ? '<1%' : `${Math.round(share * 100)}%`);

/** A length of time in words. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return t('page.time.s', { n: seconds.toFixed(1) });
  if (seconds < 90) return t('page.time.s', { n: Math.round(seconds) });
  if (seconds < 5400) return t('page.time.min', { n: Math.round(seconds / 60) });
  if (seconds < 172_800) {
    const minutes = Math.round(seconds / 60);
    return t('page.time.h', { h: Math.floor(minutes / 60), min: minutes % 60 });
  }
  return t('page.time.d', { n: Math.round(seconds / 86_400) });
}

/** @param {number} seconds */
export const ago = (seconds) => t('page.time.ago', { time: duration(Math.max(0, seconds)) });

/** Hours and minutes of a plant's own clock. @param {number} seconds */
export function plantClock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}`;
}

const pad = (n) => String(n).padStart(2, '0');

/** @param {number} ms epoch milliseconds @param {boolean} [withSeconds] */
export function clock(ms, withSeconds = true) {
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}${withSeconds ? `:${pad(d.getSeconds())}` : ''}`;
}

/** Date only when it is not today. @param {string|number} at ISO 8601 or epoch milliseconds */
export function when(at) {
  const d = new Date(at);
  if (d.toDateString() === new Date().toDateString()) return clock(d.getTime());
  return `${d.getMonth() + 1}/${d.getDate()} ${clock(d.getTime(), false)}`;
}

/**
 * What people call a sensor: the catalogue's name for its kind of plant, else its own, else its tag.
 * @param {string} kind kind of the asset @param {{tag: string, name?: string, unit?: string}} sensor
 */
export function sensorName(kind, sensor) {
  const name = sensor.name ?? '';
  // A file's heading may carry the unit, which has its own place.
  const own = sensor.unit && sensor.unit !== '1' ? name.replace(/\s*\[[^\]]*\]$/, '') : name;
  return texts[`tag.${kind}.${sensor.tag}`] ?? (own || sensor.tag);
}

const UNITS = { 'kPa gauge': 'kPaG',  degC: '°C', m3: 'm³', m2: 'm²', umol: 'µmol', 1: '' };

/** A unit as it is printed. @param {string} unit */
export function unitText(unit) {
  return (unit ?? '')
    .split('/')
    .map((part) => UNITS[part] ?? part)
    .join('/');
}

const QUALITY = {
  good: 'page.quality.good',
  uncertain: 'page.quality.uncertain',
  'uncertain:clock': 'page.quality.clock',
  'uncertain:servertime': 'page.quality.servertime',
  'uncertain:lastusable': 'page.quality.lastusable',
  'uncertain:outofcal': 'page.quality.outofcal',
  'uncertain:retained': 'page.quality.retained',
  'uncertain:substituted': 'page.quality.substituted',
  bad: 'page.quality.bad',
  'bad:openwire': 'page.quality.openwire',
  'bad:short': 'page.quality.short',
  'bad:range': 'page.quality.range',
  'bad:comm': 'page.quality.comm',
  'bad:stale': 'page.quality.stale',
  'bad:sensor': 'page.quality.sensor',
  'bad:config': 'page.quality.config',
  'bad:check': 'page.quality.check',
};

const CODES = Object.keys(QUALITY);
const NUMBERS = [0, 64, 65, 66, 67, 68, 69, 70, 128, 129, 130, 131, 132, 133, 134, 135, 192];

/** The quality's name on the wire of a number in a live frame. @param {number} code */
export const qualityCode = (code) => CODES[NUMBERS.indexOf(code)] ?? (code >= 128 ? 'bad' : 'uncertain');

/** @param {string} code as on the wire */
export const qualityText = (code) => t(QUALITY[code] ?? (code.startsWith('bad') ? QUALITY.bad : QUALITY.uncertain));
