/** The shell: texts, navigation, the live connection, and when to draw. */

import { h, icon, put } from './dom.js';
import { language, load, t } from './i18n.js';
import { Lab } from './lab.js';
import { Live } from './live.js';
import { onTheme, toggleTheme } from './theme.js';
import { assetView } from './views/asset.js';
import { controlView } from './views/control.js';
import { corrosionView } from './views/corrosion.js';
import { dataView } from './views/data.js';
import { plantsView } from './views/plants.js';

/**
 * What a view is given.
 * @typedef {object} Context
 * @property {Lab} lab
 * @property {string[]} path parts of the hash after the view's name
 */
/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {string} title
 * @property {() => void} [frame]  a live frame was taken
 * @property {(now: number) => void} [draw]  draw the canvases
 * @property {() => void} [tick]  once a second, also without frames: ages grow
 * @property {() => void} [gap]  frames were lost: read the history again
 * @property {() => Promise<void>} [refresh]  read what is not live
 * @property {number} [refreshMs]
 * @property {() => void} [destroy]
 */

const SCREEN_MS = 200;
const BANNER_MS = 1500;
const RETRY_MS = 2000;
/** What a live frame told is in the database by then: commits are a second apart (`historian.commit_s`). */
const COMMITTED_MS = 1500;

const ROUTES = { asset: assetView, control: controlView, corrosion: corrosionView, data: dataView };
const NAV = [
  ['', 'page.nav.plants'],
  ['control', 'page.nav.control'],
  ['corrosion', 'page.nav.corrosion'],
  ['data', 'page.nav.data'],
];

/** A part of the address; what is no proper escape stands for itself. @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Page {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.lab = new Lab();
    /** @type {View|null} */
    this.view = null;
    this.drawnAt = 0;
    this.wanted = false;
    addEventListener('hashchange', () => this.route());
    document.addEventListener('visibilitychange', () => this.invalidate());
    onTheme(() => this.invalidate());
    setInterval(() => this.tick(), 1000);
    this.live = new Live({
      frame: (frame) => this.frame(frame),
      gap: () => this.view?.gap?.(),
      state: (up) => this.connection(up),
    });
    this.build();
  }

  build() {
    this.banner = h('div', { class: 'banner', role: 'status', hidden: true }, icon('offline'), h('span', { text: t('page.banner.lost') }));
    this.links = NAV.map(([route, key]) => h('a', { href: `#/${route}`, text: t(key), data: { route } }));
    const other = language() === 'ja' ? 'en' : 'ja';
    const langButton = h('button', {
      type: 'button', class: 'quiet', lang: other, text: other === 'ja' ? '日本語' : 'English', id: 'language',
      on: { click: () => this.speak(other) },
    });
    const themeButton = h('button', { type: 'button', class: 'quiet', id: 'theme', title: t('page.theme'), on: { click: toggleTheme } });
    themeButton.append(icon('theme'), h('span', { class: 'sr', text: t('page.theme') }));
    this.main = h('main', { id: 'main', tabindex: '-1' });
    this.root.replaceChildren(
      h('a', { class: 'skip', href: '#main', text: t('page.skip'), on: { click: (event) => this.skip(event) } }),
      h('header', { class: 'top' },
        h('a', { class: 'brand', href: '#/' }, h('span', { class: 'brand-mark' }), h('span', { text: t('page.brand') })),
        h('nav', { 'aria-label': t('page.nav') }, ...this.links),
        h('div', { class: 'top-tools' }, langButton, themeButton)),
      this.banner,
      this.main,
    );
    this.route();
  }

  skip(event) {
    event.preventDefault();
    this.main.focus();
  }

  async speak(lang) {
    await load(lang).catch(() => null);
    this.build();
    document.getElementById('language')?.focus();
  }

  route() {
    const [name = '', ...path] = location.hash.replace(/^#\/?/, '').split('/').map(decoded);
    this.view?.destroy?.();
    clearInterval(this.refresher);
    const make = ROUTES[name] ?? plantsView;
    this.view = make({ lab: this.lab, path });
    this.main.replaceChildren(this.view.element);
    scrollTo(0, 0);
    const current = name === 'asset' || !(name in ROUTES) ? '' : name;
    for (const link of this.links) {
      if (link.dataset.route === current) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    if (this.view.refresh) {
      this.refresher = setInterval(() => document.hidden || this.view.refresh(), this.view.refreshMs ?? 5000);
    }
    this.invalidate();
  }

  frame(frame) {
    const { unknown, turned } = this.lab.take(frame);
    if (unknown || turned) this.refreshSoon();
    this.view?.frame?.();
    this.invalidate();
  }

  /** What only the slow answers know (names, episodes) is read again when a frame says it changed. */
  refreshSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.lab.refresh().then(() => this.view?.refresh?.(), () => null);
    }, COMMITTED_MS);
  }

  connection(up) {
    clearTimeout(this.lost);
    if (up) this.banner.hidden = true;
    else this.lost = setTimeout(() => (this.banner.hidden = false), BANNER_MS);
    this.root.classList.toggle('is-cut', !up);
  }

  tick() {
    if (document.hidden) return;
    this.view?.tick?.();
    this.titleBar();
    this.invalidate();
  }

  titleBar() {
    const alarms = [...this.lab.assets.values()].filter((asset) => asset.health() === 'alarm').length;
    const text = `${alarms ? `▲${alarms} ` : ''}${this.view?.title ?? ''} – ${t('page.brand')}`;
    put(document.querySelector('title'), text);
  }

  /** Draw in the next animation frame, but at most five times a second; a hidden page gets no animation frames. */
  invalidate() {
    if (this.wanted) return;
    this.wanted = true;
    const wait = Math.max(0, this.drawnAt + SCREEN_MS - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.draw()), wait);
  }

  draw() {
    this.wanted = false;
    this.drawnAt = performance.now();
    this.view?.draw?.(this.lab.now());
  }
}

async function start() {
  const root = document.getElementById('app');
  for (;;) {
    try {
      await load(document.documentElement.lang);
      break;
    } catch {
      root.replaceChildren(document.getElementById('unreachable').content.cloneNode(true));
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
  globalThis.labPage = new Page(root);
}

start();
