/** Small tools for the document; no text is ever parsed as HTML. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make an element. Attributes: `class`, `text`, `on` (handlers by event), `data` (dataset), `style` (set one by one, as
 * the content security policy asks), anything else as attribute; true is an empty attribute, false/null/undefined none.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. @returns {any} */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'text') element.textContent = value;
    else if (name === 'on') for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'style') for (const [key, part] of Object.entries(value)) element.style.setProperty(key, part);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set the text only when it changed: an unchanged node costs no layout. @param {Element} element */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or take away an attribute only when it changed. @param {Element} element */
export function attr(element, name, value) {
  const next = value === null || value === undefined || value === false ? null : value === true ? '' : String(value);
  if (element.getAttribute(name) === next) return;
  if (next === null) element.removeAttribute(name);
  else element.setAttribute(name, next);
}

/**
 * Children for a list of rows, kept by key, so that what a reader has focused or selected stays.
 * @template T
 * @param {Element} parent
 * @param {T[]} rows
 * @param {(row: T) => string} key
 * @param {(row: T) => any} make  an element, with `update(row)` as a property if it changes
 */
export function keyed(parent, rows, key, make) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const row of rows) {
    const name = key(row);
    let element = old.get(name);
    if (element) old.delete(name);
    else {
      element = make(row);
      element.dataset.key = name;
    }
    element.update?.(row);
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
  for (const element of old.values()) element.remove();
}

const ICONS = {
  ok: 'M3 8.5 6.5 12 13 4.5',
  alarm: 'M8 1.5 15 14H1Z',
  instrument: 'M8 1 15 8 8 15 1 8Z',
  learning: 'M8 2a6 6 0 1 1-.01 0M8 5v3l2 2',
  stale: 'M8 2a6 6 0 1 1-.01 0M8 5v3.2h3',
  offline: 'M3 3l10 10M8 2a6 6 0 1 1-.01 0',
  up: 'M8 2 14 12H2Z',
  down: 'M8 14 2 4h12Z',
  back: 'M10 3 5 8l5 5',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  table: 'M2 3h12v10H2zM2 6.5h12M2 10h12M7 3v10',
  pause: 'M5 3v10M11 3v10',
  play: 'M4 2.5 13 8l-9 5.5Z',
  theme: 'M8 2a6 6 0 1 0 .01 0',
  control: 'M2 4.5h7M13 4.5h1M2 11.5h1M7 11.5h7M11 2.5v4M5 9.5v4',
  proof: 'M8 1.2 14 3.5v4.3c0 3.4-2.4 5.8-6 7-3.6-1.2-6-3.6-6-7V3.5ZM5 8l2.2 2.2L11 6.2',
};

/**
 * An icon; it never stands alone, so it is hidden from screen readers.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const mark = s('svg', { class: `icon icon-${name}`, viewBox: '0 0 16 16', 'aria-hidden': 'true' });
  mark.append(s('path', { d: ICONS[name] }));
  if (name === 'alarm') mark.append(s('path', { class: 'mark', d: 'M8 6v4M8 11.7v.6' }));
  if (name === 'theme') mark.append(s('path', { class: 'mark', d: 'M8 2a6 6 0 0 1 0 12Z' }));
  if (name === 'instrument') mark.append(s('path', { class: 'mark', d: 'M8 4.8v4M8 10.7v.6' }));
  return mark;
}
