/** The proof that nothing was lost, what was set aside, and how the lab itself is. */

import { get } from '../api.js';
import { attr, h, icon, keyed, put } from '../dom.js';
import { ago, known, number, t, when } from '../i18n.js';
import { errorLine, panel, proofChip } from '../widgets.js';

const TERMS = [
  ['accepted', 'page.ledger.accepted'],
  ['duplicates', 'page.ledger.duplicates'],
  ['rejected', 'page.ledger.rejected'],
  ['missing', 'page.ledger.missing'],
];
const ENTRIES = 20;
const RANGES = 6;

/** @param {import('../main.js').Context} context @returns {import('../main.js').View} */
export function dataView({ lab }) {
  const error = errorLine();
  const total = equation();
  const chip = proofChip();
  const totals = panel(t('page.ledger.total'), 'total', total, h('p', { class: 'muted', text: t('page.ledger.note') }));
  totals.head.append(chip);
  const gateways = h('div', { class: 'gateways' });
  const quarantine = quarantinePanel();
  const system = systemPanel();
  const element = h(
    'div',
    { class: 'view data' },
    h('header', { class: 'view-head' }, h('h1', { text: t('page.nav.data') })),
    error,
    totals,
    gateways,
    h('div', { class: 'data-rest' }, quarantine.element, system.element),
  );

  async function refresh() {
    const jobs = [get('ledger'), get('quarantine', { limit: ENTRIES }), get('system')];
    const [ledger, entries, facts] = await Promise.allSettled(jobs);
    const failed = [ledger, entries, facts].find((job) => job.status === 'rejected');
    error.update(failed?.reason ?? null);
    if (ledger.value) {
      total.update(ledger.value.totals);
      chip.update(ledger.value.totals.missing);
      keyed(gateways, byGateway(ledger.value.gateways), (one) => one.gateway, gatewayCard);
    }
    if (entries.value) quarantine.show(entries.value.entries);
    if (facts.value) system.show(facts.value);
  }

  refresh();
  return { element, title: t('page.nav.data'), refresh, refreshMs: 2000 };
}

/** published = accepted + duplicates + rejected + missing, in figures. */
function equation() {
  const published = h('strong');
  const parts = new Map();
  const element = h('div', { class: 'equation' }, term(published, t('page.ledger.published')));
  TERMS.forEach(([name, key], k) => {
    const value = h('strong');
    parts.set(name, value);
    element.append(h('span', { class: 'summand' }, h('span', { class: 'sign', text: k ? '+' : '=' }), term(value, t(key))));
  });
  element.update = (row) => {
    put(published, number(row.published, 0));
    for (const [name, value] of parts) put(value, number(row[name], 0));
    parts.get('missing').parentElement.classList.toggle('is-bad', row.missing > 0);
  };
  return element;
}

const term = (value, caption) => h('span', { class: 'term' }, value, h('span', { class: 'caption', text: caption }));

const COUNTS = ['published', 'accepted', 'duplicates', 'rejected', 'missing', 'unsequenced', 'forks'];

/** The ledger keeps one account for each start of a gateway; people look for the gateway: its sum, the newest start first. */
function byGateway(rows) {
  const gateways = new Map();
  for (const row of rows) gateways.set(row.gateway, [...(gateways.get(row.gateway) ?? []), row]);
  return [...gateways].map(([gateway, boots]) => {
    boots.sort((a, b) => b.boot - a.boot);
    const sums = Object.fromEntries(COUNTS.map((name) => [name, boots.reduce((sum, row) => sum + row[name], 0)]));
    return { ...boots[0], ...sums, gateway, boots, proof: boots.every((row) => row.proof) };
  });
}

function gatewayCard(first) {
  const row = equation();
  const chip = h('span', { class: 'chip' });
  const state = h('span', { class: 'muted' });
  const facts = h('dl', { class: 'facts-list' });
  const missing = h('p', { class: 'error', hidden: true });
  const starts = startsTable();
  const element = panel(first.gateway, 'gateway', row, missing, facts, starts);
  element.head.append(state, chip);
  element.update = (one) => {
    row.update(one);
    put(state, one.state === 'online' ? t('page.online') : t('page.health.offline'));
    chip.replaceChildren(icon(one.proof ? 'proof' : 'alarm'), h('span', { text: one.proof ? t('page.proof.holds') : t('page.proof.broken') }));
    chip.classList.toggle('is-bad', !one.proof);
    const ranges = one.boots.flatMap((start) => start.missing_ranges ?? []).slice(0, RANGES).map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`));
    missing.hidden = !ranges.length;
    put(missing, t('page.ledger.ranges', { ranges: ranges.join(', ') }));
    facts.replaceChildren(
      pair(t('page.ledger.seen'), one.seen ? ago((Date.now() - Date.parse(one.seen)) / 1000) : '–'),
      skew(one.skew_ms),
      pair(t('page.ledger.upto'), number(one.upto, 0)),
      pair(t('page.ledger.boot'), String(one.boot)),
      pair(t('page.ledger.unsequenced'), number(one.unsequenced, 0)),
      pair(t('page.ledger.forks'), number(one.forks, 0)),
    );
    starts.update(one.boots);
  };
  return element;
}

/** The accounts of a gateway's single starts, shown when it has had several. */
function startsTable() {
  const caption = h('summary', { class: 'muted' });
  const names = ['page.ledger.boot', 'page.ledger.published', ...TERMS.map(([, key]) => key)];
  const body = h('tbody');
  const head = h('tr', {}, ...names.map((key, k) => h('th', { scope: 'col', class: k ? 'number' : null, text: t(key) })));
  const table = h('div', { class: 'scroll', tabindex: '0' }, h('table', {}, h('thead', {}, head), body));
  const element = h('details', { class: 'starts' }, caption, table);
  element.update = (boots) => {
    element.hidden = boots.length < 2;
    put(caption, t('page.ledger.starts', { n: boots.length }));
    keyed(body, boots, (row) => String(row.boot), startRow);
  };
  return element;
}

function startRow(first) {
  const cells = ['published', ...TERMS.map(([name]) => name)].map((name) => [name, h('td', { class: 'number' })]);
  const element = h('tr', {}, h('th', { scope: 'row', text: String(first.boot) }), ...cells.map(([, cell]) => cell));
  element.update = (row) => {
    for (const [name, cell] of cells) put(cell, number(row[name], 0));
    attr(element, 'class', row.proof ? null : 'is-over');
  };
  return element;
}

/** A clock further off than this marks its readings uncertain. */
const CLOCK_OFF_MS = 2000;

/** The clock's difference, said plainly where it is one. */
function skew(ms) {
  if (ms === null) return pair(t('page.ledger.skew'), '–');
  if (Math.abs(ms) <= CLOCK_OFF_MS) return pair(t('page.ledger.skew'), `${number(ms, 1)} ms`);
  const seconds = number(Math.abs(ms) / 1000, 0);
  const off = pair(t('page.ledger.skew'), t(ms > 0 ? 'page.ledger.behind' : 'page.ledger.ahead', { seconds }));
  off.classList.add('is-off');
  off.lastChild.prepend(icon('alarm'));
  return off;
}

const pair = (name, value) => h('div', {}, h('dt', { text: name }), h('dd', { text: value }));

function quarantinePanel() {
  const list = h('ul', { class: 'quarantine' });
  const none = h('p', { class: 'muted', text: t('page.quarantine.none') });
  const element = panel(t('page.quarantine'), 'quarantine-panel', h('p', { class: 'muted', text: t('page.quarantine.note') }), list, none);
  return {
    element,
    show(entries) {
      none.hidden = entries.length > 0;
      keyed(list, entries, (entry) => String(entry.id), quarantineRow);
    },
  };
}

function quarantineRow(entry) {
  const count = h('span', { class: 'count' });
  const element = h(
    'li',
    {},
    h('div', { class: 'entry-head' }, h('strong', { text: known(`quarantine.reason.${entry.reason}`, entry.reason) }), count,
      h('time', { datetime: entry.at, class: 'muted', text: when(entry.at) })),
    h('p', { text: entry.detail }),
    h('details', {}, h('summary', { class: 'muted', text: entry.topic }), entry.payload ? h('pre', { text: entry.payload, tabindex: '0' }) : null),
  );
  element.update = (now) => put(count, `×${now.count}`);
  return element;
}

const STATES = {
  running: 'page.process.running',
  starting: 'page.process.starting',
  waiting: 'page.process.waiting',
  backoff: 'page.process.backoff',
  done: 'page.process.done',
  stopped: 'page.process.stopped',
  failed: 'page.process.failed',
};

function systemPanel() {
  const body = h('tbody');
  const columns = ['page.process.name', 'page.process.state', 'page.process.restarts', 'page.process.pid'];
  const head = h('tr', {}, ...columns.map((key, k) => h('th', { scope: 'col', class: k > 1 ? 'number' : null, text: t(key) })));
  const facts = h('dl', { class: 'facts-list' });
  const table = h('table', { class: 'processes' }, h('thead', {}, head), body);
  const libraries = h('p', { class: 'muted libraries' });
  const element = panel(t('page.system'), 'system-panel', table, facts, libraries);
  return {
    element,
    show(system) {
      table.hidden = !system.processes?.length;
      keyed(body, system.processes ?? [], (one) => one.name, processRow);
      const { broker = {}, historian, versions = {} } = system;
      const rows = [[t('page.system.broker'), [broker.kind, broker.version].filter(Boolean).join(' ')]];
      rows.push([t('page.system.address'), `${broker.host}:${broker.port}`]);
      if (historian) {
        rows.push([t('page.system.historian'), historian.kind]);
        rows.push([t('page.system.readings'), number(historian.readings, 0)]);
        rows.push([t('page.system.disk'), size(historian.bytes_on_disk)]);
        if (historian.oldest) rows.push([t('page.system.oldest'), when(historian.oldest)]);
      }
      if (system.memory_mb) rows.push([t('page.system.memory'), `${number(system.memory_mb, 0)} MB`]);
      if (system.clients !== undefined) rows.push([t('page.system.clients'), number(system.clients, 0)]);
      put(libraries, Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(' · '));
      facts.replaceChildren(...rows.map(([name, value]) => pair(name, value)));
    },
  };
}

function processRow(first) {
  const state = h('span');
  const cells = { restarts: h('td', { class: 'number' }), pid: h('td', { class: 'number' }) };
  const element = h('tr', {}, h('th', { scope: 'row', text: first.name }), h('td', {}, state), cells.restarts, cells.pid);
  element.update = (one) => {
    put(state, STATES[one.state] ? t(STATES[one.state]) : one.state);
    put(cells.restarts, String(Number(one.restarts)));
    put(cells.pid, one.pid ? String(one.pid) : '–');
    attr(element, 'class', ['failed', 'backoff'].includes(one.state) ? 'is-over' : null);
  };
  return element;
}

function size(bytes) {
  if (bytes < 1e6) return `${number(bytes / 1e3, 0)} kB`;
  return bytes < 1e9 ? `${number(bytes / 1e6, 1)} MB` : `${number(bytes / 1e9, 2)} GB`;
}
