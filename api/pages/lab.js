/** What the page knows of the lab: the assets, their sensors, and the newest live frame of each. */

import { get, segment } from './api.js';

/**
 * @typedef {object} Sensor
 * @property {string} key
 * @property {string} tag
 * @property {string} name
 * @property {string} unit
 * @property {string} role
 * @property {number|null} lo
 * @property {number|null} hi
 * @property {{lo_trip?: number, lo_alarm?: number, hi_alarm?: number, hi_trip?: number}|null} limits
 * @property {number|null} decimals
 */

/** @typedef {{sensor: string, fault: string}} Failed  what is wrong with an instrument */
/** Whether a sensor failed and the plant is as usual. @param {{kind: string, upset?: any[]}} episode */
export const isCalm = (episode) => episode.kind === 'instrument' && !episode.upset?.length;

/** Of a sensor that is named, or only its tag. @param {string|{sensor: string}} one */
const tagOf = (one) => (typeof one === 'string' ? one : one.sensor);


/** @typedef {'ok'|'alarm'|'instrument'|'learning'|'stale'|'offline'} Health */

/** Stale after so long while the period is not known, as the API has it. */
const EXPIRE_MS = 10_000;
const LEAST_EXPIRE_MS = 3000;
const LONGEST_PERIOD_MS = 3_600_000;

/** One asset: the answer of the API, and what the live frames have said since. */
export class Asset {
  /** @param {any} info */
  constructor(info) {
    this.id = info.id;
    this.info = info;
    /** @type {Sensor[]} */
    this.sensors = [];
    this.frame = null;
    this.heard = 0;
    /** @type {number|null} */
    this.periodMs = null;
  }

  get kind() {
    return this.info.kind;
  }

  get name() {
    return this.info.name || this.id;
  }

  /** Take the part of a live frame that is this asset's. */
  take(frame) {
    const earlier = this.frame?.t;
    const step = frame.t - earlier;
    if (step > 0 && step < LONGEST_PERIOD_MS) this.periodMs = this.periodMs ? this.periodMs + 0.2 * (step - this.periodMs) : step;
    if (frame.t !== earlier) this.heard = performance.now();
    this.frame = frame;
  }

  /** Seconds since the last reading was made: as the server saw it, plus what has passed here since. */
  ageSeconds() {
    if (this.frame) return (this.frame.age_s ?? 0) + (performance.now() - this.heard) / 1000;
    return this.info.last ? Math.max(0, (Date.now() - Date.parse(this.info.last)) / 1000) : null;
  }

  /** Whether the last reading is older than three periods (but never sooner than three seconds). */
  stale() {
    const age = this.ageSeconds();
    const most = this.periodMs ? Math.max(LEAST_EXPIRE_MS, 3 * this.periodMs) : EXPIRE_MS;
    return age === null || age * 1000 > most;
  }

  /** @returns {Health} */
  health() {
    const frame = this.frame;
    const kind = this.info.health;
    if (frame ? frame.online === false : !this.info.online) return 'offline';
    if (this.stale()) return 'stale';
    if (!frame) return kind;
    // An instrument's fault is no alarm of the process, however high the score, unless it moves the plant.
    if (this.episode) return isCalm(this.episode) ? 'instrument' : 'alarm';
    if (frame.alarm) return 'alarm';
    return frame.warm === false ? 'learning' : 'ok';
  }

  /** Whether the score is above its limit just now. */
  get alarmed() {
    return Boolean(this.frame ? this.frame.alarm : this.info.alarm);
  }

  /**
   * What is said of the open episode, by the newest frame or else by the slower answer; null when none is open.
   * @returns {{id: string, kind: string, failed: Failed|null, suspects: Failed[], upset: string[], causes: any[], unknown: number|null, outlook: any}|null}
   */
  get episode() {
    const said = this.frame ?? this.info;
    if (!said.episode) return null;
    const named = (one) => (Array.isArray(one) ? { sensor: one[0], fault: one[1] } : one);
    const { failed = null, suspects, upset, causes = [], unknown = null, outlook = null } = said;
    return {
      id: said.episode,
      kind: said.episode_kind ?? 'process',
      failed: named(failed),
      suspects: (suspects ?? []).map(named),
      upset: (upset ?? []).map(tagOf),
      causes,
      unknown,
      outlook,
    };
  }

  /** Which sensors failed, how and how often. @returns {{sensor: string, fault: string, times: number, since_s: number, ago_s: number}[]} */
  get instruments() {
    const said = (this.frame ?? this.info).instruments ?? [];
    return said.map((one) => {
      if (!Array.isArray(one)) return one;
      const [sensor, fault, times, since_s, ago_s] = one;
      return { sensor, fault, times, since_s, ago_s };
    });
  }

  /** How far the stream has moved from the model, 0 as fitted, 1 at the limit. @returns {number|null} */
  get drift() {
    return (this.frame ? this.frame.drift : this.info.drift) ?? null;
  }

  get score() {
    return this.frame ? this.frame.score : this.info.score;
  }

  get limit() {
    return this.frame?.limit ?? this.info.limit ?? 1;
  }

  /** Contributions now, largest first. @returns {[string, number][]} */
  top() {
    return this.frame?.top ?? (this.info.leading ?? []).map((l) => [l.tag, l.share]);
  }

  /** Newest value of a sensor by its place. @param {number} index */
  value(index) {
    const v = this.frame?.v?.[index];
    return v === undefined ? (this.sensors[index]?.value ?? null) : v;
  }
}

export class Lab {
  constructor() {
    /** @type {Map<string, Asset>} */
    this.assets = new Map();
    this.rates = null;
    this.clockOffset = 0;
    this.loadedAt = 0;
  }

  /** Milliseconds by the lab's clock; a viewer's own clock may be minutes off. */
  now() {
    return Date.now() + this.clockOffset;
  }

  /** Read the list of assets; ones that are gone go. */
  async refresh() {
    const { assets } = await get('assets');
    const gone = new Set(this.assets.keys());
    for (const info of assets) {
      gone.delete(info.id);
      const asset = this.assets.get(info.id);
      if (asset) asset.info = { ...asset.info, ...info };
      else this.assets.set(info.id, new Asset(info));
    }
    for (const id of gone) this.assets.delete(id);
    this.loadedAt = performance.now();
  }

  /**
   * An asset with its sensors loaded.
   * @param {string} id
   * @param {boolean} [again] read them although they are known
   */
  async asset(id, again = false) {
    const known = this.assets.get(id);
    if (known?.sensors.length && !again) return known;
    const [info, { sensors }] = await Promise.all([get(`assets/${segment(id)}`), get(`assets/${segment(id)}/sensors`)]);
    const asset = this.assets.get(id) ?? new Asset(info);
    asset.info = { ...asset.info, ...info };
    asset.sensors = sensors;
    this.assets.set(id, asset);
    return asset;
  }

  /**
   * Take a live frame.
   * @returns {{unknown: boolean, turned: boolean}} whether it names an asset we do not know, or one changed its state
   */
  take(frame) {
    const offset = Date.parse(frame.t) - Date.now();
    // The smallest delay seen is nearest the truth; let it drift slowly so that a corrected clock is followed.
    this.clockOffset = this.clockOffset === 0 ? offset : Math.max(offset, this.clockOffset - 5);
    if (frame.rates) this.rates = frame.rates;
    let unknown = false;
    let turned = false;
    for (const [id, part] of Object.entries(frame.assets ?? {})) {
      const asset = this.assets.get(id);
      if (!asset) {
        unknown = true;
        continue;
      }
      const before = asset.frame;
      turned ||= !before || before.alarm !== part.alarm || before.episode !== part.episode || before.online !== part.online;
      asset.take(part);
      if (asset.sensors.length && part.v && part.v.length !== asset.sensors.length) asset.sensors = [];
    }
    return { unknown, turned };
  }
}
