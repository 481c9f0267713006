/** Round numbers for axes. */

/**
 * About `count` round values within [lo, hi].
 * @returns {number[]}
 */
export function niceTicks(lo, hi, count) {
  const raw = (hi - lo) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999) ?? 10 * power;
  const ticks = [];
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + step * 1e-9; k += 1) ticks.push(k * step);
  return ticks;
}

const LONG = 9;

/**
 * What stands at the ticks of an axis: plain numbers, or with a power of ten where those would be long or all zeros.
 * @param {number[]} ticks evenly spaced
 * @returns {string[]}
 */
export function tickTexts(ticks) {
  if (ticks.length < 2) return ticks.map((tick) => String(+tick.toPrecision(6)).replace('e+', 'e').replace('e', 'E'));
  const step = ticks[1] - ticks[0];
  const exponent = Math.floor(Math.log10(step * 1.0001));
  const half = Math.abs(step / 10 ** exponent - Math.round(step / 10 ** exponent)) > 1e-6 ? 1 : 0;
  const decimals = Math.max(0, half - exponent);
  const most = Math.max(...ticks.map(Math.abs));
  const plain = ticks.map((tick) => (Math.abs(tick) < step / 2 ? 0 : tick).toFixed(Math.min(8, decimals)));
  const length = (texts) => Math.max(...texts.map((text) => text.length));
  if (decimals <= 8 && length(plain) <= LONG) return plain;
  const digits = Math.min(15, Math.max(0, Math.floor(Math.log10(most * 1.0001)) - exponent + half));
  const powers = ticks.map((tick) => (Math.abs(tick) < step / 2 ? '0' : tick.toExponential(digits).replace('e+', 'e').replace('e', 'E')));
  return decimals > 8 || length(powers) < length(plain) ? powers : plain;
}

/** Powers of ten within [lo, hi]. */
export function logTicks(lo, hi) {
  const ticks = [];
  for (let e = Math.ceil(Math.log10(lo) - 1e-9); 10 ** e <= hi * 1.0001; e += 1) ticks.push(10 ** e);
  return ticks;
}

const MINUTE = 60_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440].map((m) => m * MINUTE);

/** Times at round minutes of the viewer's clock, at least `gap` pixels apart. */
export function timeTicks(from, to, width, gap) {
  const wanted = ((to - from) * gap) / Math.max(1, width);
  const step = STEPS.find((s) => s >= wanted) ?? STEPS[STEPS.length - 1];
  const zone = new Date(to).getTimezoneOffset() * MINUTE;
  const ticks = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) ticks.push(t);
  return ticks;
}

/**
 * The range to draw: holds the data with some air, a limit that is near, and stays put while it still fits,
 * so that an axis does not tremble with the noise.
 * @param {{lo: number, hi: number}|null} held range drawn last
 * @param {number} lo smallest value in view @param {number} hi largest
 * @param {number} least smallest span to zoom into
 * @param {number[]} limits
 */
export function holdRange(held, lo, hi, least, limits) {
  // What does not move at all gets a plain axis around it, not one of its seventh digit.
  const span = hi > lo ? Math.max(hi - lo, least, Math.abs(hi) * 1e-6) : Math.max(least, Math.abs(hi) * 0.02) || 1;
  let bottom = (lo + hi - span) / 2;
  let top = (lo + hi + span) / 2;
  for (const limit of limits) {
    if (limit > top && limit - top < 0.8 * span) top = limit;
    if (limit < bottom && bottom - limit < 0.8 * span) bottom = limit;
  }
  const full = top - bottom;
  if (held && lo >= held.lo && hi <= held.hi && held.hi - held.lo < 2.2 * full) return held;
  return { lo: bottom - 0.12 * full, hi: top + 0.12 * full };
}
