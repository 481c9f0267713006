/** A line chart over time on a canvas: envelope of decimated history, gaps, limits, episode bands, a cursor. */

import { clock, t } from './i18n.js';
import { holdRange, logTicks, niceTicks, tickTexts, timeTicks } from './scale.js';
import { onTheme, palette } from './theme.js';

/**
 * @typedef {object} Curve
 * @property {import('./series.js').Series} series
 * @property {keyof import('./theme.js').Palette} colour
 * @property {number[]} [dash]
 * @property {number} [width]
 */
/**
 * @typedef {object} Limit
 * @property {number} value
 * @property {string} label
 * @property {'alarm'|'trip'} kind
 * @property {'high'|'low'} side
 */
/** @typedef {{from: number, to: number, kind: string}} Band */

/**
 * @typedef {object} ChartOptions
 * @property {string} label  for screen readers
 * @property {boolean} [bare]  a sparkline: no axes, no cursor
 * @property {boolean} [fromZero]
 * @property {number} [least]  smallest span of the axis
 * @property {boolean} [score]  the first curve is a score: the part above the limit is filled
 * @property {(t: number|null) => void} [onCursor]
 * @property {(value: number) => string} [format]
 */

const FONT = '13px system-ui, "Noto Sans JP", "Noto Sans CJK JP", "Yu Gothic UI", "Hiragino Sans", sans-serif';

/** Room for the numbers of the upright axis; more where they are longer. */
const LEFT = 52;

/** Stretches without a gap, as [first, past the last], and whether any point stands for several readings. */
function runsOf(series, start) {
  const { t, v, lo, hi, n, gapMs } = series;
  const runs = [];
  let open = -1;
  let wide = false;
  for (let i = start; i < n; i += 1) {
    const value = v[i];
    if (value !== value) {
      if (open >= 0) runs.push([open, i]);
      open = -1;
    } else if (open < 0) open = i;
    else if (t[i] - t[i - 1] > gapMs) {
      runs.push([open, i]);
      open = i;
    }
    if (hi[i] > lo[i]) wide = true;
  }
  if (open >= 0) runs.push([open, n]);
  return { runs, wide };
}

export class Chart {
  /** @param {ChartOptions} options */
  constructor(options) {
    this.options = options;
    this.canvas = document.createElement('canvas');
    this.canvas.className = options.bare ? 'chart bare' : 'chart';
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', options.label);
    this.g = this.canvas.getContext('2d');
    /** @type {Curve[]} */
    this.curves = [];
    /** @type {Limit[]} */
    this.limits = [];
    /** @type {Band[]} */
    this.bands = [];
    this.rangeMs = 900_000;
    this.now = 0;
    this.cursor = null;
    this.held = null;
    this.width = 0;
    this.height = 0;
    this.left = LEFT;
    this.dirty = true;
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.canvas);
    this.offTheme = onTheme(() => this.draw());
    if (!options.bare) this.listen();
  }

  destroy() {
    this.watcher.disconnect();
    this.offTheme();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    const ratio = Math.min(3, devicePixelRatio || 1);
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.g.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  listen() {
    this.canvas.tabIndex = 0;
    this.canvas.addEventListener('pointermove', (event) => this.point(this.timeAt(event.offsetX)));
    this.canvas.addEventListener('pointerleave', () => this.point(null));
    this.canvas.addEventListener('blur', () => this.point(null));
    this.canvas.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === 'Escape') this.point(null);
      if (!step) return;
      event.preventDefault();
      const size = (this.rangeMs / 60) * (event.shiftKey ? 5 : 1);
      const next = (this.cursor ?? this.now) + step * size;
      this.point(Math.min(this.now, Math.max(this.now - this.rangeMs, next)));
    });
  }

  point(t) {
    if (this.options.onCursor) this.options.onCursor(t);
    else this.setCursor(t);
  }

  /** @param {number|null} t time to mark */
  setCursor(t) {
    this.cursor = t;
    this.draw();
  }

  get plot() {
    return this.options.bare
      ? { left: 0, right: this.width, top: 3, bottom: this.height - 3 }
      : { left: this.left, right: this.width - 10, top: 8, bottom: this.height - 24 };
  }

  timeAt(x) {
    const { left, right } = this.plot;
    const t = this.now - this.rangeMs + ((x - left) / (right - left)) * this.rangeMs;
    return t < this.now - this.rangeMs || t > this.now ? null : t;
  }

  /** Draw everything up to a time. @param {number} [now] epoch milliseconds at the right edge */
  draw(now = this.now) {
    this.now = now;
    if (!this.width || !now) return;
    const g = this.g;
    g.font = FONT;
    const from = now - this.rangeMs;
    const extent = this.extent(from);
    const scale = this.scale(extent, this.plot);
    const axis = this.options.bare ? null : this.axis(scale);
    const p = this.plot;
    const kx = (p.right - p.left) / this.rangeMs;
    const x = (t) => p.left + (t - from) * kx;
    g.clearRect(0, 0, this.width, this.height);
    g.lineJoin = 'round';
    this.drawBands(p, x, from);
    if (axis) this.drawAxes(p, x, from, scale, axis);
    g.save();
    g.beginPath();
    g.rect(p.left, p.top - 2, p.right - p.left, p.bottom - p.top + 4);
    g.clip();
    for (let k = this.curves.length - 1; k >= 0; k -= 1) this.drawCurve(this.curves[k], x, scale, from, k === 0);
    g.restore();
    this.drawLimits(p, scale);
    if (this.cursor !== null) this.drawCursor(p, x, scale);
  }

  extent(from) {
    let lo = Infinity;
    let hi = -Infinity;
    for (const { series } of this.curves) {
      for (let i = Math.max(0, series.at(from) - 1); i < series.n; i += 1) {
        if (series.lo[i] < lo) lo = series.lo[i];
        if (series.hi[i] > hi) hi = series.hi[i];
      }
    }
    return lo <= hi ? { lo, hi } : null;
  }

  scale(extent, p) {
    const { fromZero, least = 0, score } = this.options;
    const limits = this.limits.map((l) => l.value);
    const limit = limits[0] ?? 1;
    const height = p.bottom - p.top;
    // A fault can be a thousand times the limit; on a straight axis everything before it would be a flat line.
    if (score && extent && extent.hi > 25 * limit) {
      const lo = Math.log10(limit * 0.1);
      const hi = Math.log10(extent.hi * 1.3);
      const k = height / (hi - lo);
      return { log: true, lo: 10 ** lo, hi: 10 ** hi, y: (v) => p.bottom - (Math.log10(Math.max(v, 1e-12)) - lo) * k };
    }
    let { lo, hi } = extent ?? { lo: 0, hi: limits.length ? limit : 1 };
    if (fromZero) lo = 0;
    if (score) hi = Math.max(hi, 1.15 * limit);
    this.held = holdRange(this.held, lo, hi, least, limits);
    const bottom = fromZero ? 0 : this.held.lo;
    const k = height / (this.held.hi - bottom);
    return { log: false, lo: bottom, hi: this.held.hi, y: (v) => p.bottom - (v - bottom) * k };
  }

  /** The ticks of the upright axis and their texts; makes room for the longest at the left. */
  axis(scale) {
    const { top, bottom } = this.plot;
    const ticks = scale.log
      ? logTicks(scale.lo, scale.hi)
      : niceTicks(scale.lo, scale.hi, Math.max(2, Math.round((bottom - top) / 34)));
    const texts = scale.log ? ticks.map((tick) => String(+tick.toPrecision(1))) : tickTexts(ticks);
    const widest = Math.max(0, ...texts.map((text) => this.g.measureText(text).width));
    this.left = Math.min(Math.max(LEFT, Math.ceil(widest) + 9), this.width / 2);
    return { ticks, texts };
  }

  drawAxes(p, x, from, scale, { ticks, texts }) {
    const g = this.g;
    const colours = palette();
    g.strokeStyle = colours.faint;
    g.fillStyle = colours.soft;
    g.lineWidth = 1;
    g.textAlign = 'right';
    g.textBaseline = 'middle';
    g.beginPath();
    for (const [k, tick] of ticks.entries()) {
      const y = Math.round(scale.y(tick)) + 0.5;
      g.moveTo(p.left, y);
      g.lineTo(p.right, y);
      if (y > p.top - 4) g.fillText(texts[k], p.left - 7, y);
    }
    g.stroke();
    g.textAlign = 'left';
    g.textBaseline = 'alphabetic';
    if (scale.log) g.fillText(t('page.score.log'), p.left + 5, p.top + 11);
    g.textAlign = 'center';
    for (const t of timeTicks(from, this.now, p.right - p.left, 74)) {
      const at = Math.round(x(t));
      g.fillRect(at, p.bottom, 1, 4);
      if (at > p.left + 12 && at < p.right - 14) g.fillText(clock(t, false), at, p.bottom + 18);
    }
    g.fillStyle = colours.line;
    g.fillRect(p.left, p.bottom, p.right - p.left, 1);
  }

  drawBands(p, x, from) {
    const g = this.g;
    const colours = palette();
    for (const band of this.bands) {
      if (band.to < from) continue;
      const left = Math.max(p.left, x(band.from));
      const right = Math.min(p.right, Math.max(x(band.to), left + 2));
      if (right <= p.left || left >= p.right) continue;
      const instrument = band.kind === 'instrument';
      g.fillStyle = instrument ? colours.blueWash : colours.alarmWash;
      g.fillRect(left, p.top, right - left, p.bottom - p.top);
      g.fillStyle = instrument ? colours.blue : colours.alarm;
      g.fillRect(left, p.top - 3, right - left, 3);
    }
  }

  drawCurve(curve, x, scale, from, first) {
    const { series } = curve;
    const g = this.g;
    const colours = palette();
    const colour = colours[curve.colour];
    const { runs, wide } = runsOf(series, Math.max(0, series.at(from) - 1));
    if (wide) this.drawEnvelope(series, runs, x, scale.y, colour);
    if (first && this.options.score && this.limits.length) this.fillOver(series, runs, x, scale, colours);
    g.setLineDash(curve.dash ?? []);
    g.lineWidth = curve.width ?? 1.6;
    g.strokeStyle = colour;
    g.fillStyle = colour;
    const { t, v } = series;
    // Straight axes are worked out here: a call a point would cost more than the point.
    const x0 = x(from);
    const kx = (x(this.now) - x0) / (this.now - from);
    const y0 = scale.y(scale.lo);
    const ky = (scale.y(scale.hi) - y0) / (scale.hi - scale.lo);
    g.beginPath();
    for (const [a, b] of runs) {
      g.moveTo(x(t[a]), scale.y(v[a]));
      if (scale.log) for (let i = a + 1; i < b; i += 1) g.lineTo(x(t[i]), scale.y(v[i]));
      else for (let i = a + 1; i < b; i += 1) g.lineTo(x0 + kx * (t[i] - from), y0 + ky * (v[i] - scale.lo));
    }
    g.stroke();
    g.setLineDash([]);
    // A reading alone between two gaps has no line to be seen by.
    for (const [a, b] of runs) if (b - a === 1) g.fillRect(x(t[a]) - 1.2, scale.y(v[a]) - 1.2, 2.4, 2.4);
  }

  drawEnvelope(series, runs, x, y, colour) {
    const g = this.g;
    g.beginPath();
    for (const [a, b] of runs) {
      g.moveTo(x(series.t[a]), y(series.hi[a]));
      for (let i = a + 1; i < b; i += 1) g.lineTo(x(series.t[i]), y(series.hi[i]));
      for (let i = b - 1; i >= a; i -= 1) g.lineTo(x(series.t[i]), y(series.lo[i]));
      g.closePath();
    }
    g.globalAlpha = 0.22;
    g.fillStyle = colour;
    g.fill();
    g.globalAlpha = 1;
  }

  fillOver(series, runs, x, scale, colours) {
    const g = this.g;
    const base = scale.y(this.limits[0].value);
    g.save();
    g.beginPath();
    g.rect(0, 0, this.width, base);
    g.clip();
    g.beginPath();
    for (const [a, b] of runs) {
      g.moveTo(x(series.t[a]), base);
      for (let i = a; i < b; i += 1) g.lineTo(x(series.t[i]), scale.y(series.hi[i]));
      g.lineTo(x(series.t[b - 1]), base);
    }
    g.globalAlpha = 0.55;
    g.fillStyle = colours.alarm;
    g.fill();
    g.restore();
  }

  drawLimits(p, scale) {
    const g = this.g;
    const colours = palette();
    g.lineWidth = 1.3;
    g.textBaseline = 'alphabetic';
    let taken = -99;
    for (const limit of this.limits) {
      const colour = limit.kind === 'trip' ? colours.ink : colours.alarm;
      const y = scale.y(limit.value);
      const above = y < p.top - 1;
      if (above || y > p.bottom + 1) continue;
      g.strokeStyle = colour;
      g.setLineDash(limit.kind === 'trip' ? [2, 3] : [7, 4]);
      g.beginPath();
      g.moveTo(p.left, Math.round(y) + 0.5);
      g.lineTo(p.right, Math.round(y) + 0.5);
      g.stroke();
      g.setLineDash([]);
      if (this.options.bare) continue;
      // At the left, where the past is: what happens now happens at the right. A second label too near goes right.
      const at = limit.side === 'low' || y < p.top + 14 ? y + 15 : y - 5;
      const aside = Math.abs(at - taken) < 15;
      taken = at;
      g.textAlign = aside ? 'right' : 'left';
      g.lineWidth = 3;
      g.strokeStyle = colours.panel;
      g.strokeText(limit.label, aside ? p.right - 4 : p.left + 5, at);
      g.lineWidth = 1.3;
      g.fillStyle = colour;
      g.fillText(limit.label, aside ? p.right - 4 : p.left + 5, at);
    }
  }

  drawCursor(p, x, scale) {
    const g = this.g;
    const colours = palette();
    const at = x(this.cursor);
    g.fillStyle = colours.soft;
    g.fillRect(Math.round(at), p.top, 1, p.bottom - p.top);
    for (const curve of this.curves) {
      const i = curve.series.nearest(this.cursor);
      if (i < 0 || Number.isNaN(curve.series.v[i])) continue;
      g.fillStyle = colours.panel;
      g.strokeStyle = colours[curve.colour];
      g.lineWidth = 2;
      g.beginPath();
      g.arc(x(curve.series.t[i]), scale.y(curve.series.v[i]), 4, 0, 2 * Math.PI);
      g.fill();
      g.stroke();
    }
  }
}
