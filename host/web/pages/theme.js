// Loaded before the page is drawn, so that a chosen theme does not flash up in the other one first.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is switched off: the system's preference stands.
  }
})();
