// @ts-check
// Runs before the first paint, so that the chosen theme does not flash. No module: those wait for the document.
(() => {
  /** @type {Record<string, string>} */
  const NEXT = { auto: "light", light: "dark", dark: "auto" };
  const root = document.documentElement;
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("brainsift.theme") ?? "auto";
  } catch {
    // storage is refused: the theme lasts as long as the page
  }
  if (!(chosen in NEXT)) chosen = "auto";
  root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const label = () => {
      const words = `Theme: ${chosen === "auto" ? "same as the system" : chosen}`;
      button.setAttribute("aria-label", words);
      button.title = words;
    };
    button.addEventListener("click", () => {
      root.dataset.theme = chosen = NEXT[chosen];
      try {
        localStorage.setItem("brainsift.theme", chosen);
      } catch {
        // as above
      }
      label();
    });
    label();
  });
})();
