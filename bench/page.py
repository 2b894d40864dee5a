"""How long does the page take with thousands of cases: another threshold, another order, another filter?

The list, the cases and the strokes below the threshold are those of the page, in Chromium; the scores are drawn
numbers, and all thumbnails are one picture. A time is from the call until the list is drawn. On a machine that does
other things, the processor time tells more, a mean of all repeats: of the main thread, which scripts, lays out and
paints, and of the page with all its threads, which draw pixels and decode pictures, too. Each act runs three times
before it is timed.

Usage:
    python bench/page.py [--cases 5000] [--repeats 20]
"""

import argparse
import io
import re
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image
from playwright.sync_api import CDPSession, sync_playwright

from brainsift.core.text import markdown_table
from brainsift.images.phantom import draw

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

MEASURE = "([act, repeats]) => window.measure(act, repeats)"
WARM_UP = 3


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
            thumbnail = {"body": _thumbnail(), "content_type": "image/png"}
            page.route("**/api/v1/jobs/job/**", lambda route: route.fulfill(**thumbnail))
            page.goto(url)
            session, main_thread = browser.new_browser_cdp_session(), page.context.new_cdp_session(page)
            main_thread.send("Performance.enable", {"timeDomain": "threadTicks"})
            rows = []
            for act in page.evaluate(SET_UP, arguments.cases):
                page.evaluate(MEASURE, [act, WARM_UP])
                before = _main_thread_s(main_thread), _processor_s(session)
                times = page.evaluate(MEASURE, [act, arguments.repeats])
                after = _main_thread_s(main_thread), _processor_s(session)
                busy = [1000 * (end - start) / arguments.repeats for start, end in zip(before, after, strict=True)]
                rows.append((act, *[f"{time:.0f}" for time in [*np.quantile(times, (0, 0.5, 1)), *busy]]))
            browser.close()
        finally:
            process.terminate()
    heads = (
        f"with {arguments.cases} cases",
        "fastest, ms",
        "median, ms",
        "slowest, ms",
        "main thread, ms",
        "all threads, ms",
    )
    print(markdown_table(heads, rows))


def _main_thread_s(session: CDPSession) -> float:
    """Returns the processor time that the main thread of the page has taken, seconds."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def _thumbnail() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(draw(1, tumor=True, size=64).pixels).save(stream, "png")
    return stream.getvalue()


def _processor_s(session: CDPSession) -> float:
    """Returns the processor time that the processes of pages have taken, seconds."""
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(float(one["cpuTime"]) for one in processes if one["type"] == "renderer")


if __name__ == "__main__":
    main()
