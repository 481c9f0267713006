/** History for charts: as many points as the chart is wide, and never an old answer over a newer one. */

import { get, segment } from './api.js';

const MOST_KEYS = 12;

/** The request in the air for one chart group; a new one ends it. */
export class History {
  constructor() {
    this.abort = null;
  }

  begin() {
    this.abort?.abort();
    this.abort = new AbortController();
    return this.abort.signal;
  }

  /**
   * Fill series with the readings of the last `rangeMs`.
   * @param {Map<string, import('./series.js').Series>} wanted by sensor key
   * @param {number} rangeMs @param {number} now by the lab's clock @param {number} points
   */
  async readings(wanted, rangeMs, now, points) {
    const signal = this.begin();
    const keys = [...wanted.keys()];
    const from = Math.floor(now - rangeMs);
    for (let k = 0; k < keys.length; k += MOST_KEYS) {
      const part = keys.slice(k, k + MOST_KEYS);
      const { series } = await get('series', { sensors: part.join(','), from, points }, signal);
      for (const key of part) if (series[key]) wanted.get(key).load(series[key], rangeMs / points);
    }
  }

  /**
   * Fill the score's series.
   * @param {string} id asset @param {Record<string, import('./series.js').Series>} wanted `score` and statistics by name
   * @returns {Promise<any>} the answer
   */
  async score(id, wanted, rangeMs, now, points) {
    const signal = this.begin();
    const data = await get(`assets/${segment(id)}/score`, { from: Math.floor(now - rangeMs), points }, signal);
    const width = rangeMs / points;
    for (const [name, series] of Object.entries(wanted)) {
      const v = name === 'score' ? data.score : data.statistics?.[name];
      if (v) series.load({ t: data.t, v }, width);
    }
    return data;
  }

  destroy() {
    this.abort?.abort();
  }
}

/** An abort is our own doing and no error to show. @param {any} error */
export const aborted = (error) => error?.name === 'AbortError';
