// Runs before the first paint, so that the chosen theme does not flash. No module: those wait for the document.
(() => {
  const NEXT = { auto: "light", light: "dark", dark: "auto" };
  const root = document.documentElement;
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("brainsift.theme") ?? "auto";
  } catch {
    // storage is refused: the theme lasts as long as the page
  }
  root.dataset.theme = chosen in NEXT ? chosen : "auto";

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      const words = `Theme: ${root.dataset.theme === "auto" ? "as the system" : root.dataset.theme}`;
      button.setAttribute("aria-label", words);
      button.title = words;
    };
    button.addEventListener("click", () => {
      root.dataset.theme = NEXT[root.dataset.theme];
      try {
        localStorage.setItem("brainsift.theme", root.dataset.theme);
      } catch {
        // as above
      }
      label();
    });
    label();
  });
})();
