/** The simulated plant as a flowsheet: grey while all is well, coloured where it is not. */

import { attr, put, s } from '../dom.js';
import { number, sensorName, t, unitText } from '../i18n.js';
import { beyond, glanceDigits, panel } from '../widgets.js';
import { TALL, WIDE } from './mimic_layout.js';

const NARROW = 640;
const LEADING = 3;
const LEADING_SHARE = 0.1;

/** @param {import('../lab.js').Asset} asset */
export function mimicPanel(asset) {
  const place = document.createElement('div');
  place.className = 'mimic-place';
  const element = panel(t('page.mimic'), 'mimic-panel', place);
  let drawing = null;
  let narrow = null;
  const watcher = new ResizeObserver(([entry]) => {
    const next = entry.contentRect.width < NARROW;
    if (next === narrow) return;
    narrow = next;
    drawing = makeDrawing(asset, narrow ? TALL : WIDE);
    place.replaceChildren(drawing.element);
    drawing.draw();
  });
  watcher.observe(place);
  return { element, draw: () => drawing?.draw(), destroy: () => watcher.disconnect() };
}

function makeDrawing(asset, layout) {
  const [width, height] = layout.box;
  const svg = s('svg', { class: 'mimic', viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': t('page.mimic') });
  for (const path of layout.pipes) svg.append(...pipe(path));
  const vessels = Object.values(layout.vessels).map((place) => vessel(asset, place, layout.sizes));
  for (const one of vessels) svg.append(one.element);
  svg.append(condenser(layout), compressor(layout));
  for (const [x, y, anchor, key] of layout.words) svg.append(word(x, y, anchor, t(key), layout.sizes.label));
  const values = layout.values.map((place) => valueMark(asset, place, layout.sizes)).filter(Boolean);
  for (const one of values) svg.append(one.element);
  return {
    element: svg,
    draw() {
      const led = new Set();
      if (asset.alarmed) {
        for (const [tag, share] of asset.top().slice(0, LEADING)) if (share >= LEADING_SHARE) led.add(tag);
      }
      const stale = asset.stale();
      attr(svg, 'class', stale ? 'mimic is-stale' : 'mimic');
      const lit = new Set();
      for (const one of values) if (one.draw(led)) lit.add(one.tag);
      for (const one of vessels) one.draw(lit);
    },
  };
}

/** A pipe; `>` at its end is an arrow head in the direction of the last stroke, `~` before it lets it cross over others. */
function pipe(path) {
  const line = path.replace(/[~>]/g, '');
  const parts = [s('path', { class: 'pipe', d: line })];
  if (path.startsWith('~')) parts.unshift(s('path', { class: 'pipe-gap', d: line }));
  if (path.endsWith('>')) parts.push(arrow(line));
  return parts;
}

function arrow(path) {
  let x = 0;
  let y = 0;
  let turn = 0;
  for (const [, letter, rest] of path.matchAll(/([MHV])([\d. ]+)/g)) {
    const numbers = rest.trim().split(' ').map(Number);
    if (letter === 'M') [x, y] = numbers;
    else if (letter === 'H') {
      turn = numbers[0] > x ? 0 : 180;
      [x] = numbers;
    } else {
      turn = numbers[0] > y ? 90 : 270;
      [y] = numbers;
    }
  }
  return s('path', { class: 'arrow', d: 'M-3-6 9 0-3 6Z', transform: `translate(${x} ${y}) rotate(${turn})` });
}

function word(x, y, anchor, text, size, cls = 'word') {
  return s('text', { class: cls, x, y, 'text-anchor': anchor, 'font-size': size, text });
}

function vessel(asset, [x, y, width, height, key, levelTag], sizes) {
  const index = asset.sensors.findIndex((sensor) => sensor.tag === levelTag);
  const id = `clip-${levelTag}`;
  const shape = { x, y, width, height, rx: width / 4 };
  const fill = s('rect', { class: 'level', x, y: y + height, width, height, 'clip-path': `url(#${id})` });
  const outline = s('rect', { class: 'vessel', ...shape });
  const element = s(
    'g',
    {},
    s('clipPath', { id }, s('rect', shape)),
    s('rect', { class: 'vessel-back', ...shape }),
    fill,
    outline,
    word(x + width / 2, y + sizes.value + 10, 'middle', t(key), sizes.label, 'word vessel-title'),
  );
  return {
    element,
    draw(lit) {
      const level = asset.value(index);
      const part = level === null ? 0 : Math.min(1, Math.max(0, level / 100));
      attr(fill, 'y', (y + height * (1 - part)).toFixed(1));
      const inside = (tag) => lit.has(tag) && VESSEL_TAGS[key].includes(tag);
      attr(outline, 'class', VESSEL_TAGS[key].some(inside) ? 'vessel is-lit' : 'vessel');
    },
  };
}

const VESSEL_TAGS = {
  'page.mimic.reactor': ['xmeas_7', 'xmeas_8', 'xmeas_9'],
  'page.mimic.separator': ['xmeas_11', 'xmeas_12', 'xmeas_13'],
  'page.mimic.stripper': ['xmeas_15', 'xmeas_16', 'xmeas_18'],
};

function condenser({ condenser: [x, y, r, textX, textY, anchor], sizes }) {
  return s(
    'g',
    {},
    s('circle', { class: 'machine', cx: x, cy: y, r }),
    s('path', { class: 'pipe', d: `M${x - r * 1.3} ${y + r * 1.1}L${x - r * 0.3} ${y - r * 0.5}L${x + r * 0.3} ${y + r * 0.5}L${x + r * 1.3} ${y - r * 1.1}` }),
    word(textX, textY, anchor, t('page.mimic.condenser'), sizes.label),
  );
}

function compressor({ compressor: [x, y, r, textX, textY, anchor], sizes }) {
  return s(
    'g',
    {},
    s('circle', { class: 'machine', cx: x, cy: y, r }),
    s('path', { class: 'pipe', d: `M${x + r * 0.75} ${y - r * 0.65}L${x - r * 0.85} ${y - r * 0.4}M${x + r * 0.75} ${y + r * 0.65}L${x - r * 0.85} ${y + r * 0.4}` }),
    word(textX, textY, anchor, t('page.mimic.compressor'), sizes.label),
  );
}

function valueMark(asset, [tag, x, y, anchor, key], sizes) {
  const index = asset.sensors.findIndex((sensor) => sensor.tag === tag);
  if (index < 0) return null;
  const sensor = asset.sensors[index];
  const back = s('rect', { class: 'mark-back', rx: 4 });
  const mark = s('tspan', { class: 'mark-sign' });
  const value = s('tspan', { class: 'mark-value', 'font-size': sizes.value });
  const unit = s('tspan', { class: 'mark-unit', 'font-size': sizes.unit, dx: 3, text: unitText(sensor.unit) });
  const text = s('text', { x, y, 'text-anchor': anchor, 'font-size': sizes.value });
  if (key) text.append(s('tspan', { class: 'mark-label', 'font-size': sizes.label, text: `${t(key)} ` }));
  text.append(mark, value, unit);
  const element = s('g', { class: 'value-mark' }, s('title', { text: `${sensorName(asset.kind, sensor)} (${tag})` }), back, text);
  return {
    tag,
    element,
    draw(led) {
      const current = asset.value(index);
      const bad = (asset.frame?.q?.[tag] ?? 0) >= 64;
      const side = beyond(sensor, current);
      const leads = led.has(tag);
      put(value, number(current, glanceDigits(sensor)));
      put(mark, bad ? '? ' : side ? (side.startsWith('hi') ? '▲ ' : '▼ ') : leads ? '◆ ' : '');
      const cls = bad ? 'is-bad' : side ? 'is-over' : leads ? 'is-leading' : '';
      attr(element, 'class', `value-mark ${cls}`);
      if (cls && element.isConnected) {
        const box = text.getBBox();
        attr(back, 'x', (box.x - 5).toFixed(1));
        attr(back, 'y', (box.y - 1).toFixed(1));
        attr(back, 'width', (box.width + 10).toFixed(1));
        attr(back, 'height', (box.height + 2).toFixed(1));
      }
      return Boolean(side || leads);
    },
  };
}
