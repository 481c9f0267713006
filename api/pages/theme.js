/** Light and dark, and the colours the canvases draw with (read once from the style sheet, not at every stroke). */

/** @typedef {Record<'ink'|'soft'|'faint'|'line'|'panel'|'alarm'|'blue'|'green'|'purple'|'alarmWash'|'blueWash'|'grey', string>} Palette */

/** @type {Palette|null} */
let colours = null;
const listeners = new Set();

/** @returns {Palette} */
export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    colours = {
      ink: read('ink'),
      soft: read('ink-soft'),
      faint: read('grid'),
      line: read('line'),
      panel: read('panel'),
      alarm: read('alarm'),
      blue: read('blue'),
      green: read('green'),
      purple: read('purple'),
      alarmWash: read('alarm-wash'),
      blueWash: read('blue-wash'),
      grey: read('stale'),
    };
  }
  return colours;
}

/** Call back after the theme changed. @param {() => void} listener @returns {() => void} stops it */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** @param {'light'|'dark'} theme */
function apply(theme) {
  document.documentElement.dataset.theme = theme;
  colours = null;
  for (const listener of listeners) listener();
}

/** The other theme, remembered. */
export function toggleTheme() {
  const theme = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  localStorage.setItem('lab.theme', theme);
  apply(theme);
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
  if (!localStorage.getItem('lab.theme')) apply(event.matches ? 'dark' : 'light');
});
