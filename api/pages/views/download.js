/** A dialog that hands out an asset's readings as a file: for `lab fit` and `lab score`, for a spreadsheet, or with their quality. */

import { fileUrl, segment } from '../api.js';
import { h } from '../dom.js';
import { t } from '../i18n.js';

const SPANS = [
  { from: '-1h', key: 'page.range.1h' },
  { from: '-24h', key: 'page.range.24h' },
  { from: '-7d', key: 'page.download.7d' },
  { from: '-30d', key: 'page.download.30d' },
  { from: '0', key: 'page.download.all' },
];
const USUAL = '-24h';

/** @param {import('../lab.js').Asset} asset */
export function downloadDialog(asset) {
  const span = h('select', { name: 'span' }, ...SPANS.map(({ from, key }) => h('option', { value: from, text: t(key) })));
  span.value = USUAL;
  const layout = h('select', { name: 'layout' },
    h('option', { value: 'wide', text: t('page.download.wide') }), h('option', { value: 'long', text: t('page.download.long') }));
  const note = h('p', { class: 'muted' });
  const go = h('a', { class: 'button primary', download: '', text: t('page.download.go'), on: { click: () => dialog.close() } });
  const cancel = h('button', { type: 'button', text: t('page.cancel'), on: { click: () => dialog.close() } });
  const show = () => {
    go.href = fileUrl(`assets/${segment(asset.id)}/readings.csv`, { from: span.value, layout: layout.value });
    note.textContent = t(layout.value === 'wide' ? 'page.download.wide_note' : 'page.download.long_note');
  };
  for (const choice of [span, layout]) choice.addEventListener('change', show);
  show();
  const dialog = h('dialog', { class: 'asking', 'aria-label': t('page.download.title') },
    h('form', { method: 'dialog' }, h('h2', { text: t('page.download.title') }),
      h('label', { class: 'field' }, h('span', { text: t('page.download.span') }), span),
      h('label', { class: 'field' }, h('span', { text: t('page.download.layout') }), layout),
      note,
      h('footer', {}, cancel, go)));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
