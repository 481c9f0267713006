/** Points of one curve in time order, at most one per bucket: as many as the chart is wide, however long the range. */

const SPARE = 2;

function median(times) {
  const steps = times.slice(1).map((t, i) => t - times[i]);
  return steps.sort((a, b) => a - b)[steps.length >> 1];
}

export class Series {
  /** @param {number} capacity points kept */
  constructor(capacity = 800) {
    this.capacity = capacity;
    const size = capacity * SPARE;
    this.t = new Float64Array(size);
    this.v = new Float64Array(size);
    this.lo = new Float64Array(size);
    this.hi = new Float64Array(size);
    this.n = 0;
    this.bucketMs = 0;
    this.periodMs = 1000;
    this.lastT = -Infinity;
    this.inBucket = 0;
  }

  /** A gap between points longer than this is drawn as one: data that is not there is not joined up. */
  get gapMs() {
    return 1.5 * this.bucketMs + 3 * this.periodMs;
  }

  /**
   * Put history in; live points that are newer stay behind it.
   * @param {{t: number[], v: (number|null)[], lo?: (number|null)[], hi?: (number|null)[], raw?: boolean}} data
   * @param {number} bucketMs width of a point
   */
  load(data, bucketMs) {
    const count = data.t.length;
    const until = count ? data.t[count - 1] + (data.lo ? bucketMs : 0) : -Infinity;
    const newer = [];
    for (let i = 0; i < this.n; i += 1) if (this.t[i] > until) newer.push([this.t[i], this.v[i]]);
    this.bucketMs = bucketMs;
    this.n = 0;
    this.inBucket = 0;
    this.lastT = -Infinity;
    if (data.raw && count > 2) this.periodMs = median(data.t);
    const from = Math.max(0, count - this.capacity);
    for (let i = from; i < count; i += 1) {
      const v = data.v[i] ?? NaN;
      this.append(data.t[i], v, data.lo?.[i] ?? v, data.hi?.[i] ?? v);
    }
    for (const [t, v] of newer) this.push(t, v);
  }

  append(t, v, lo, hi) {
    if (this.n === this.t.length) {
      const from = this.n - this.capacity;
      for (const column of [this.t, this.v, this.lo, this.hi]) column.copyWithin(0, from, this.n);
      this.n = this.capacity;
    }
    const i = this.n;
    this.t[i] = t;
    this.v[i] = v;
    this.lo[i] = lo;
    this.hi[i] = hi;
    this.n = i + 1;
    this.lastT = t;
    this.inBucket = 1;
  }

  /** A live reading. @param {number} t epoch milliseconds @param {number|null} value null is a gap */
  push(t, value) {
    if (t <= this.lastT) return;
    const step = t - this.lastT;
    if (step < 60_000) this.periodMs += 0.1 * (step - this.periodMs);
    const v = value ?? NaN;
    const i = this.n - 1;
    const same = i >= 0 && this.bucketMs > 0 && Math.floor(t / this.bucketMs) === Math.floor(this.t[i] / this.bucketMs);
    if (!same || Number.isNaN(v) !== Number.isNaN(this.v[i])) {
      this.append(t, v, v, v);
      return;
    }
    this.inBucket += 1;
    this.v[i] += (v - this.v[i]) / this.inBucket;
    if (v < this.lo[i]) this.lo[i] = v;
    if (v > this.hi[i]) this.hi[i] = v;
    this.lastT = t;
  }

  /** Index of the first point at or after a time. @param {number} t */
  at(t) {
    let low = 0;
    let high = this.n;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.t[mid] < t) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  /** Index of the point nearest a time, -1 when there is none within a gap of it. @param {number} t */
  nearest(t) {
    const i = this.at(t);
    const best = i > 0 && (i === this.n || t - this.t[i - 1] < this.t[i] - t) ? i - 1 : i;
    return best < this.n && Math.abs(this.t[best] - t) <= this.gapMs ? best : -1;
  }
}
