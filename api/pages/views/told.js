/** What a user tells the lab, and takes back: what an episode was, and that a new operating point is normal. */

import { get, post, remove, segment } from '../api.js';
import { h } from '../dom.js';
import { percent, t } from '../i18n.js';
import { causeName, isUnknown, ranked } from '../verdict.js';
import { errorLine } from '../widgets.js';

/** Faults of the simulated plant are named so; they are in the process. */
const FAULT = 'idv_';
const OWN = '\u0000own';
const LONGEST = 80;
/** Faults of the simulated plant that can be a cause by their number; later ones are other things in the benchmark. */
const NUMBERED = 20;

/**
 * Ask what an episode was and tell the lab.
 * @param {import('../lab.js').Asset} asset
 * @param {any} row  the episode, of the API or of `Asset.episode`
 * @returns {Promise<string|null>} what came of it, as a sentence; null when nothing was told
 */
export async function tellCause(asset, row) {
  const others = await knownCauses(asset);
  const likely = ranked(row);
  const first = new Set(likely.map(([cause]) => cause));
  const rest = others.filter((cause) => !first.has(cause));
  const choice = h('select', { name: 'cause' });
  const group = (label, options) => options.length && choice.append(h('optgroup', { label }, ...options));
  group(t('page.cause.likely'), likely.map(([cause, chance]) => h('option', { value: cause, text: `${causeName(cause)} (${percent(chance)})` })));
  group(t('page.cause.known'), rest.map((cause) => h('option', { value: cause, text: causeName(cause) })));
  choice.append(h('option', { value: OWN, text: t('page.cause.own') }));
  const told = row.told ? row.cause : null;
  choice.value = told && (first.has(told) || rest.includes(told)) ? told : likely.length && !isUnknown(row) ? likely[0][0] : OWN;
  const name = nameInput();
  const naming = h('label', { class: 'field' }, h('span', { text: t('page.cause.name') }), name);
  const where = h('select', { name: 'kind' }, h('option', { value: 'process', text: t('page.cause.where.process') }),
    h('option', { value: 'instrument', text: t('page.cause.where.instrument') }));
  const whose = row.told_kind ?? row.kind;
  where.value = whose;
  let sure = false;
  where.addEventListener('change', () => { sure = true; });
  const show = () => {
    if (!sure) where.value = choice.value.startsWith(FAULT) ? 'process' : whose;
    naming.hidden = choice.value !== OWN;
    name.required = !naming.hidden;
  };
  choice.addEventListener('change', () => {
    name.setCustomValidity('');
    show();
    if (!naming.hidden) name.focus();
  });
  show();
  const picked = () => (choice.value === OWN ? name.value.trim() : choice.value);
  let done = null;
  const takeBack = async () => {
    await remove(`episodes/${segment(row.id)}/cause`);
    done = t('page.cause.taken_back', { cause: causeName(told) });
    return true;
  };
  await ask(t('page.cause.title'), t('page.cause.save'), [
    h('label', { class: 'field' }, h('span', { text: t('page.cause.choose') }), choice),
    naming,
    h('label', { class: 'field' }, h('span', { text: t('page.cause.where') }), where),
    h('p', { class: 'muted', text: t('page.cause.note') }),
  ], async () => {
    if (!picked()) return lacking(name);
    const { cause } = await post(`episodes/${segment(row.id)}/cause`, { cause: picked(), kind: where.value });
    done = t('page.cause.done', { cause: causeName(cause) });
    return true;
  }, told ? [[t('page.cause.take_back'), takeBack]] : []);
  return done;
}

const nameInput = () => {
  const name = h('input', { type: 'text', maxlength: LONGEST, autocomplete: 'off' });
  name.addEventListener('input', () => name.setCustomValidity(''));
  return name;
};

/** Ask for the name that was left out. @param {HTMLInputElement} name @returns {false} */
function lacking(name) {
  name.setCustomValidity(t('page.cause.name_needed'));
  name.reportValidity();
  return false;
}

/** Causes there are examples or numbers of: what users told of assets of this kind, and the simulated plant's faults. */
async function knownCauses(asset) {
  const plant = asset.info.simulator ? get(`simulators/${segment(asset.id)}`).catch(() => null) : null;
  const told = await toldCauses(asset).catch(() => []);
  const numbered = ((await plant)?.disturbances ?? []).filter(({ idv }) => idv <= NUMBERED).map(({ idv }) => `idv_${idv}`);
  return [...new Set([...told.map((row) => row.cause), ...numbered])];
}

const toldCauses = async (asset) => (await get(`assets/${segment(asset.id)}/causes`)).causes;

/**
 * Rename or delete a cause that users told of assets of this kind.
 * @param {import('../lab.js').Asset} asset
 * @returns {Promise<string|null>} what was done, as a sentence
 */
export async function mendCauses(asset) {
  const rows = await toldCauses(asset);
  if (!rows.length) return t('page.causes.none');
  const choice = h('select', { name: 'cause' }, ...rows.map(({ cause, episodes }) =>
    h('option', { value: cause, text: t('page.causes.row', { cause: causeName(cause), n: episodes }) })));
  const name = nameInput();
  const show = () => {
    name.setCustomValidity('');
    name.value = choice.value.startsWith(FAULT) ? '' : choice.value; // shown by another name than it has
  };
  choice.addEventListener('change', show);
  show();
  const path = `assets/${segment(asset.id)}/causes`;
  let done = null;
  let doomed = null;
  await ask(t('page.causes.title'), t('page.causes.rename'), [
    h('label', { class: 'field' }, h('span', { text: t('page.cause.choose') }), choice),
    h('label', { class: 'field' }, h('span', { text: t('page.causes.name') }), name),
    h('p', { class: 'muted', text: t('page.causes.note') }),
  ], async () => {
    if (!name.value.trim()) return lacking(name);
    const { cause } = await post(`${path}/rename`, { cause: choice.value, name: name.value.trim() });
    done = t('page.causes.renamed', { cause: causeName(cause) });
    return true;
  }, [[t('page.causes.delete_ask'), async () => { doomed = choice.value; return true; }]]);
  if (!doomed) return done;
  const its = { cause: causeName(doomed), n: rows.find((row) => row.cause === doomed).episodes };
  const gone = await ask(t('page.causes.delete_title'), t('page.causes.delete'), [h('p', { text: t('page.causes.delete_what', its) })], async () => {
    await post(`${path}/forget`, { cause: doomed });
    return true;
  });
  return gone ? t('page.causes.deleted', its) : null;
}

/**
 * Say what accepting does, and do it when confirmed.
 * @param {import('../lab.js').Asset} asset
 * @returns {Promise<string|null>} that it was done, as a sentence
 */
export async function acceptNormal(asset) {
  const says = [t('page.accept.levels', { name: asset.name }), t('page.accept.ends'), t('page.accept.relations')];
  const done = await ask(t('page.accept.title'), t('page.accept.confirm'), [
    h('ul', { class: 'points' }, ...says.map((text) => h('li', { text }))),
    h('p', { class: 'warning', text: t('page.accept.fault') }),
  ], async () => {
    await post(`assets/${segment(asset.id)}/accept`, {});
    return true;
  });
  return done ? t('page.accept.done') : null;
}

/**
 * Ask whether what was accepted is to be undone, and do it.
 * @param {import('../lab.js').Asset} asset
 * @returns {Promise<string|null>} that it was done, as a sentence
 */
export async function undoAccepted(asset) {
  const what = h('p', { text: t('page.accept.undo_what', { name: asset.name }) });
  const done = await ask(t('page.accept.undo_title'), t('page.accept.undo_confirm'), [what], async () => {
    await remove(`assets/${segment(asset.id)}/accept`);
    return true;
  });
  return done ? t('page.accept.undo_done') : null;
}

/**
 * A dialog that stays open until what it is for has been done or it is left.
 * @param {string} title @param {string} yes @param {Node[]} content @param {() => Promise<boolean>} act
 * @param {[string, () => Promise<boolean>][]} [more]  what else can be done
 * @returns {Promise<boolean>} whether it was done
 */
function ask(title, yes, content, act, more = []) {
  const error = errorLine();
  const go = h('button', { type: 'submit', class: 'primary', text: yes });
  const cancel = h('button', { type: 'button', text: t('page.cancel'), on: { click: () => dialog.close('') } });
  const others = more.map(([text, job]) => h('button', { type: 'button', text, on: { click: () => run(job) } }));
  const form = h('form', { method: 'dialog' }, h('h2', { text: title }), ...content, error,
    h('footer', {}, ...others, cancel, go));
  const dialog = h('dialog', { class: 'asking', 'aria-label': title }, form);
  const run = async (job) => {
    for (const button of [go, ...others]) button.disabled = true;
    try {
      if (await job()) dialog.close('done');
    } catch (problem) {
      error.update(problem);
    }
    for (const button of [go, ...others]) button.disabled = false;
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    run(act);
  });
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'done');
    });
  });
}
