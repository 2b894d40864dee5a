"""How long does the page take with thousands of cases: another threshold, another order, another filter?

The list, the cases and the strokes below the threshold are those of the page, in Chromium; the scores are drawn
numbers. A time is from the call until the list is drawn; on a machine that does other things, the fastest tells most,
and the processor time of the page, all its threads together, which is the mean of all repeats.

Usage:
    python bench/page.py [--cases 5000] [--repeats 20]
"""

import argparse
import re
import shutil
import subprocess
import sys

import numpy as np
from playwright.sync_api import CDPSession, sync_playwright

from brainsift.core.text import markdown_table

SET_UP = """async (count) => {
  const modules = ["cases", "list", "scale"].map((name) => import(`/page/${name}.js`));
  const [{ Cases }, { List }, { Rug }] = await Promise.all(modules);
  const rule = (threshold) => ({ threshold, margin: 0, choice: {}, query: {} });
  const cases = new Cases(rule(0.5));
  document.getElementById("view-cases").dataset.state = "some";
  const list = new List(cases, () => {});
  const rug = new Rug(document.getElementById("rug"));
  cases.on("rule", () => rug.show(cases.all, cases.rule));
  const answers = Array.from({ length: count }, (_, id) => {
    const logit = 6 * Math.sin(id * 12.9898);
    const probability = 1 / (1 + Math.exp(-logit));
    const words = { reason: "", detail: "", note: "", volume: "", description: "" };
    const facts = { ...words, has_map: false, has_focus: true, cautions: [], geometry: null };
    return { id, name: `${id}.png`, status: "ok", probability, logit, ...facts, folder: "", order: id };
  });
  cases.take("job", answers, []);
  const drawn = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const rest = () => new Promise((resolve) => setTimeout(resolve, 150));  // the list draws ten times a second at most
  const acts = {
    "move the threshold": (turn) => cases.setRule(rule(0.3 + 0.02 * turn)),
    "sort by name": () => document.querySelector("th[data-by=name] button").click(),
    "sort by probability": () => document.querySelector("th[data-by=probability] button").click(),
    "filter by decision": (turn) => document.querySelectorAll("#filters button")[turn % 3].click(),
    "search": (turn) => {
      document.getElementById("search").value = String(turn);
      document.getElementById("search").dispatchEvent(new Event("input"));
    },
    "scroll": (turn) => {
      document.getElementById("search").value = "";
      document.getElementById("search").dispatchEvent(new Event("input"));
      document.querySelector("#view-cases .table-box").scrollTop = 7919 * (turn + 1);
    },
  };
  window.measure = async (name, repeats) => {
    const times = [];
    for (let turn = 0; turn < repeats; turn += 1) {
      await rest();
      const start = performance.now();
      acts[name](turn);
      await drawn();
      times.push(performance.now() - start);
    }
    return times;
  };
  return Object.keys(acts);
}"""


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    command = [sys.executable, "-u", "-m", "brainsift", "serve", "--no-browser", "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
        sync_playwright() as playwright,
    ):
        try:
            url = next(match[0] for line in process.stdout or () if (match := re.search(r"http://\S+", line)))
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            nothing = {"body": "", "content_type": "text/javascript"}
            page.route(
                "**/page/app.js", lambda route: route.fulfill(**nothing)
            )  # the list of the page itself stays out
            page.goto(url)
            session = browser.new_browser_cdp_session()
            rows = []
            for act in page.evaluate(SET_UP, arguments.cases):
                before = _processor_s(session)
                times = page.evaluate("([act, repeats]) => window.measure(act, repeats)", [act, arguments.repeats])
                busy = 1000 * (_processor_s(session) - before) / arguments.repeats
                rows.append((act, *[f"{time:.0f}" for time in np.quantile(times, (0, 0.5, 1))], f"{busy:.0f}"))
            browser.close()
        finally:
            process.terminate()
    heads = (f"with {arguments.cases} cases", "fastest, ms", "median, ms", "slowest, ms", "processor, ms")
    print(markdown_table(heads, rows))


def _processor_s(session: CDPSession) -> float:
    """Returns the processor time that the processes of pages have taken, seconds."""
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(float(one["cpuTime"]) for one in processes if one["type"] == "renderer")


if __name__ == "__main__":
    main()
