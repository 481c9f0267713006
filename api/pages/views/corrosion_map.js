/** The piping as a map: every line a pipe of its points, coloured by risk and drawn by what each point is. */

import { segment } from '../api.js';
import { attr, h, keyed, put, s } from '../dom.js';
import { known, number, t } from '../i18n.js';

const WIDTH = 300;
const HEIGHT = 56;
const UPPER = 18;
const LOWER = 34;
/** Points a strip has at most; a longer line takes several. */
const STRIP = 14;

/** @param {string|null} rank */
export const rankText = (rank) => known(`corrosion.rank.${rank}`, rank ?? '–');
/** @param {string|null} part */
export const partText = (part) => (part ? known(`corrosion.part.${part}`, part) : '');
/** What flows in a line; the simulated plant's words are in the catalogue. @param {string} service */
export const pointText = (point) => (point.unmeasured ? point.line : point.id.includes(point.line) ? point.id : `${point.line} ${point.id}`);
export const serviceText = (service) => known(`corrosion.service.${service}`, service);
/** A chance in few digits. @param {number|null} p */
export function chance(p) {
  if (p === null || p === undefined) return '–';
  if (p < 0.001) return '<0.1 %';
  return `${number(100 * p, p < 0.1 ? 1 : 0)} %`;
}

/** What a colour means. */
export function riskLegend() {
  const ranks = ['low', 'medium', 'high', 'very_high'];
  return h('ul', { class: 'risk-legend' }, ...ranks.map((rank) => h('li', {}, h('span', { class: `risk-swatch risk-${rank}` }), rankText(rank))));
}

/** @param {(id: string) => void} choose */
export function corrosionMap(choose) {
  const groups = h('div', { class: 'piping' });
  let chosen = null;
  let planned = new Map();
  return {
    element: groups,
    /** @param {any[]} lines */
    show(lines) {
      const plants = new Map();
      for (const line of [...lines].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }))) {
        if (!plants.has(line.plant)) plants.set(line.plant, []);
        plants.get(line.plant).push(line);
      }
      const rows = [...plants].sort(([a], [b]) => a.localeCompare(b)).map(([plant, own]) => ({ plant, own }));
      keyed(groups, rows, (row) => row.plant || '-', () => group(choose));
      this.mark(chosen, planned);
    },
    /** Ring the chosen point, number those of the plan. */
    mark(id, plan) {
      chosen = id;
      planned = plan;
      for (const spot of groups.querySelectorAll('.spot')) {
        attr(spot, 'aria-current', spot.dataset.id === id ? 'true' : null);
        const place = plan.get(spot.dataset.id);
        spot.classList.toggle('is-planned', place !== undefined);
        put(spot.querySelector('.spot-place'), place === undefined ? '' : String(place));
      }
    },
    /** Bring the chosen point into sight, within the map only. */
    reveal() {
      const spot = groups.querySelector('.spot[aria-current]');
      const box = groups.parentElement;
      if (!spot || !box) return;
      const place = spot.getBoundingClientRect();
      const frame = box.getBoundingClientRect();
      if (place.top < frame.top || place.bottom > frame.bottom) box.scrollTop += place.top - frame.top - frame.height / 3;
    },
  };
}

function group(choose) {
  const title = h('h3');
  const pipes = h('div', { class: 'pipes' });
  const element = h('section', { class: 'piping-plant' }, title, pipes);
  element.update = ({ plant, own }) => {
    title.hidden = !plant;
    put(title, t('page.corrosion.plant', { name: plant }));
    keyed(pipes, own, (line) => line.id, () => pipe(choose));
  };
  return element;
}

function pipe(choose) {
  const name = h('strong');
  const what = h('span', { class: 'muted' });
  const strips = h('div');
  const element = h('div', { class: 'pipe-cell' }, h('div', { class: 'pipe-head' }, name, what), strips);
  let drawn = '';
  element.update = (line) => {
    put(name, line.id);
    put(what, [serviceText(line.service), line.nps ? `${line.nps}B` : ''].filter(Boolean).join(' · '));
    const key = JSON.stringify(line.points);
    if (key === drawn) return;
    drawn = key;
    const parts = [];
    for (let at = 0; at < line.points.length; at += STRIP) parts.push(strip(line, line.points.slice(at, at + STRIP), choose));
    strips.replaceChildren(...parts);
  };
  return element;
}

/** One pipe: it turns where there is an elbow, so that the drawing follows the list of parts. */
function strip(line, points, choose) {
  const drawing = s('svg', { class: 'strip', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'group', 'aria-label': line.id });
  const step = Math.min(44, (WIDTH - 20) / points.length);
  let y = UPPER;
  let x = 8;
  for (const point of points) {
    const turn = point.part === 'elbow';
    const after = turn ? (y === UPPER ? LOWER : UPPER) : y;
    const middle = x + step / 2;
    const path = turn ? `M${x} ${y}H${middle - 5}Q${middle} ${y} ${middle} ${(y + after) / 2}T${middle + 5} ${after}H${x + step}` : `M${x} ${y}H${x + step}`;
    drawing.append(spot(point, path, middle, turn ? (y + after) / 2 : y, choose));
    y = after;
    x += step;
  }
  return drawing;
}

function spot(point, path, x, y, choose) {
  const told = [point.id, partText(point.part), `${t('page.corrosion.risk')}: ${rankText(point.risk_class)}`, chance(point.p_next)];
  const words = told.filter(Boolean).join(' · ') + (point.unmeasured ? ` · ${t('page.corrosion.unmeasured')}` : '');
  const link = s('a', {
    class: `spot risk-${point.risk_class}${point.unmeasured ? ' is-unmeasured' : ''}`,
    href: `#/corrosion/${segment(point.id)}`,
    'aria-label': words,
    data: { id: point.id },
    on: {
      click: (event) => {
        event.preventDefault();
        choose(point.id);
      },
    },
  });
  link.append(
    s('title', { text: words }),
    s('rect', { class: 'spot-reach', x: x - 10, y: 2, width: 20, height: HEIGHT - 4 }),
    ...fitting(point.part, x, y),
    s('path', { class: 'spot-edge', d: path }),
    s('path', { class: 'spot-pipe', d: path }),
    s('text', { class: 'spot-place', x, y: y < 20 ? y + 28 : y - 12 }),
  );
  return link;
}

/** What stands out at a point: a support under it, a stub, a wall. */
function fitting(part, x, y) {
  const line = (d) => [s('path', { class: 'spot-fitting', d })];
  switch (part) {
    case 'support':
      return line(`M${x} ${y + 4}V${y + 11}M${x - 6} ${y + 11}H${x + 6}`);
    case 'tee':
      return line(`M${x} ${y - 4}V${y - 13}`);
    case 'nozzle':
      return line(`M${x} ${y - 4}V${y - 10}M${x - 4} ${y - 10}H${x + 4}`);
    case 'dead_leg':
      return line(`M${x} ${y + 4}V${y + 13}M${x - 4} ${y + 13}H${x + 4}`);
    case 'low_point':
      return line(`M${x - 5} ${y + 5}L${x} ${y + 13}L${x + 5} ${y + 5}`);
    case 'flange':
      return line(`M${x - 3} ${y - 8}V${y + 8}M${x + 3} ${y - 8}V${y + 8}`);
    case 'penetration':
      return line(`M${x} ${y - 14}V${y + 14}`);
    default:
      return [];
  }
}
