// Runs before the first paint (not a module), so that a dark room sees no white flash.
(() => {
  const stored = localStorage.getItem('lab.theme');
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = stored ?? (dark ? 'dark' : 'light');
  const lang = localStorage.getItem('lab.lang') ?? (navigator.language.toLowerCase().startsWith('ja') ? 'ja' : 'en');
  document.documentElement.lang = lang;
})();
