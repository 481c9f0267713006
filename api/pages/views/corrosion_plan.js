/** What if: a budget, an acceptable chance, lines coated anew; and the places that the plan then picks. */

import { get, segment } from '../api.js';
import { h, keyed, put } from '../dom.js';
import { number, t } from '../i18n.js';
import { errorLine, panel } from '../widgets.js';
import { chance, partText, pointText, serviceText } from './corrosion_map.js';

const WAIT_MS = 350;
const CHANCES = [0.001, 0.01, 0.05];

/** @param {{planned: (places: any[], coated: string[]) => void, choose: (id: string) => void}} on */
export function planPanel(on) {
  const error = errorLine();
  const budget = h('input', { type: 'number', min: '1', max: '1000', value: '12', id: 'budget', inputmode: 'numeric' });
  const acceptable = h('select', { id: 'acceptable' }, h('option', { value: '', text: t('page.corrosion.by_class') }),
    ...CHANCES.map((p) => h('option', { value: String(p), text: chance(p) })));
  const line = h('select', { id: 'coat' });
  const coats = h('ul', { class: 'coats' });
  const told = h('p', { class: 'plan-told', role: 'status' });
  const effect = h('dl', { class: 'facts-list plan-effect' });
  const list = h('ol', { class: 'plan-list' });
  const fields = h('div', { class: 'what-if' },
    field(t('page.corrosion.budget'), budget), field(t('page.corrosion.acceptable'), acceptable), field(t('page.corrosion.coat'), line));
  const element = panel(t('page.corrosion.plan'), 'corrosion-plan', error, fields, coats, effect, told, list);
  let coated = [];
  let timer;
  let asked = 0;

  async function ask() {
    asked += 1;
    const mine = asked;
    const query = { budget: Math.max(1, Number(budget.value) || 1), acceptable: acceptable.value || undefined, coated: coated.join(',') || undefined };
    element.classList.add('is-waiting');
    try {
      const plan = await get('corrosion/plan', query);
      if (mine !== asked) return;
      error.update(null);
      show(plan);
    } catch (problem) {
      if (mine === asked) error.update(problem);
    } finally {
      if (mine === asked) element.classList.remove('is-waiting');
    }
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  }

  function show(plan) {
    const share = plan.damage_total ? plan.damage_found / plan.damage_total : 0;
    put(told, t('page.corrosion.told', { n: plan.places.length, found: number(plan.damage_found, 1), total: number(plan.damage_total, 1), risk: chance(plan.risk_share), share: chance(share) }));
    const { outlook, unchanged } = plan;
    effect.replaceChildren(
      change(t('page.corrosion.below_next'), unchanged.below_next, outlook.below_next, 1),
      change(t('page.corrosion.due'), unchanged.due_within_a_year, outlook.due_within_a_year, 0),
      change(t('page.corrosion.total_risk'), unchanged.risk, outlook.risk, 1),
    );
    keyed(list, plan.places, (place) => place.id, () => placeRow(on.choose));
    on.planned(plan.places, coated);
  }

  function showCoats() {
    keyed(coats, coated, (id) => id, (id) => {
      const remove = h('button', { type: 'button', class: 'coat', on: { click: () => coat(coated.filter((one) => one !== id)) } });
      remove.append(h('span', { text: t('page.corrosion.coated', { name: id }) }), h('span', { 'aria-hidden': 'true', text: '×' }));
      return h('li', {}, remove);
    });
  }

  function coat(next) {
    coated = next;
    showCoats();
    soon();
  }

  budget.addEventListener('input', soon);
  acceptable.addEventListener('change', ask);
  line.addEventListener('change', () => {
    if (line.value && !coated.includes(line.value)) coat([...coated, line.value]);
    line.value = '';
  });
  return {
    element,
    ask,
    coated: () => coated,
    /** @param {any[]} lines the riskiest first */
    lines(lines) {
      const before = line.value;
      line.replaceChildren(h('option', { value: '', text: t('page.corrosion.choose_line') }),
        ...lines.map((one) => h('option', { value: one.id, text: [one.id, serviceText(one.service)].filter(Boolean).join(' · ') })));
      line.value = before;
    },
    destroy: () => clearTimeout(timer),
  };
}

const field = (name, input) => h('label', { class: 'field' }, h('span', { text: name }), input);

/** A number, and what it was without the changes asked for. */
function change(name, before, after, digits) {
  const same = number(before, digits) === number(after, digits);
  const text = same ? number(after, digits) : `${number(before, digits)} → ${number(after, digits)}`;
  return h('div', { class: same ? null : 'is-changed' }, h('dt', { text: name }), h('dd', { text }));
}

function placeRow(choose) {
  const name = h('strong');
  const risk = h('span', { class: 'rank-chip' });
  const about = h('span', { class: 'muted' });
  const why = h('span', { class: 'place-why' });
  const link = h('a', {}, h('span', { class: 'place-head' }, name, risk, about), why);
  const element = h('li', {}, link);
  let id = '';
  link.addEventListener('click', (event) => {
    event.preventDefault();
    choose(id);
  });
  element.update = (place) => {
    id = place.id;
    link.setAttribute('href', `#/corrosion/${segment(id)}`);
    put(name, pointText(place));
    risk.className = `rank-chip risk-${place.risk_class}`;
    put(risk, chance(place.p_next));
    put(about, place.unmeasured ? t('page.corrosion.unmeasured') : partText(place.part));
    put(why, place.reasons.join(t('page.corrosion.join')));
  };
  return element;
}
