/** Control loops: measured value, set point, and by hand. */

import { attr, h, keyed, put } from '../dom.js';
import { known, number, sensorName, t, unitText } from '../i18n.js';
import { toggle } from '../widgets.js';

/** @param {import('./control_faults.js').Desk} desk */
export function loopTable(desk) {
  const list = h('ul', { class: 'loops' });
  return {
    element: list,
    show(plant) {
      keyed(list, plant.loops ?? [], (one) => String(one.loop), (one) => loopRow(desk, one));
      for (const row of list.children) row.show(plant);
    },
    draw() {
      for (const row of list.children) row.draw();
    },
  };
}

/** A loop below this number moves the valve of its own number; the others move set points. */
const LAST_VALVE_LOOP = 11;

function loopRow(desk, loop) {
  const { asset } = desk;
  const index = asset.sensors.findIndex((one) => one.tag === loop.pv);
  const sensor = asset.sensors[index] ?? { tag: loop.pv, unit: loop.unit, decimals: null };
  const valve = loop.loop <= LAST_VALVE_LOOP ? asset.sensors.findIndex((one) => one.tag === `xmv_${loop.loop}`) : -1;
  const name = known(`loop.${asset.kind}.${loop.loop}`, sensorName(asset.kind, sensor));
  const value = h('span', { class: 'loop-value' });
  const input = h('input', { type: 'number', step: 'any', 'aria-label': t('page.control.setpoint_of', { name }) });
  const unit = h('span', { class: 'unit' });
  const apply = h('button', { type: 'submit', text: t('page.control.apply') });
  const manual = valve < 0 ? null : toggle(t('page.control.manual_of', { name }), (on) => desk.send('setpoints', { loop: loop.loop, manual: on }));
  const caption = h('span', { class: 'caption' });
  const form = h('form', {}, h('label', { class: 'loop-input' }, caption, input, unit), apply);
  if (manual) form.append(h('span', { class: 'loop-manual' }, h('span', { class: 'caption', 'aria-hidden': 'true', text: t('page.control.manual') }), manual));
  const element = h('li', {}, h('div', { class: 'loop-name' }, h('span', { text: name }), value), form);
  let byHand = false;
  let edited = false;

  input.addEventListener('input', () => (edited = true));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (input.value === '') return;
    const number_ = Number(input.value);
    edited = false;
    await desk.send('setpoints', byHand ? { xmv: loop.loop, value: number_ } : { loop: loop.loop, value: number_ });
  });

  element.show = (plant) => {
    const now = (plant.loops ?? []).find((one) => one.loop === loop.loop) ?? loop;
    const next = (plant.manual ?? []).includes(loop.loop);
    if (next !== byHand) edited = false;
    byHand = next;
    manual?.update(byHand);
    put(caption, byHand ? t('page.control.valve') : t('page.control.setpoint'));
    put(unit, byHand ? '%' : '');
    attr(input, 'min', byHand ? 0 : now.lo);
    attr(input, 'max', byHand ? 100 : now.hi);
    // A number being typed is not overwritten by the plant's answer of the second.
    if (edited || document.activeElement === input) return;
    const shown = byHand ? asset.value(valve) : now.setpoint;
    input.value = shown === null || shown === undefined ? '' : String(+Number(shown).toPrecision(6));
  };
  element.draw = () => {
    put(value, index < 0 ? '' : `${number(asset.value(index), sensor.decimals ?? undefined)} ${unitText(sensor.unit)}`);
  };
  return element;
}
