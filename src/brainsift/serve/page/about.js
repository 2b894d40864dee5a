// The model card, from what the server says of its network.

import { byId, el, svg } from "./dom.js";
import { counted, number, percent } from "./words.js";

const dash = "–";

function table(caption, heads, rows) {
  const head = el("tr", {}, heads.map((words, place) => el("th", { scope: "col", class: place ? "figures" : null }, words)));
  const cells = rows.map(([first, ...others]) =>
    el("tr", {}, el("th", { scope: "row" }, first), others.map((cell) => el("td", { class: "figures" }, cell))),
  );
  const whole = el("table", { class: "plain" }, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, cells));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, whole);
}

const section = (id, title, ...content) => el("section", { id, "aria-labelledby": `${id}-h` }, el("h2", { id: `${id}-h` }, title), ...content);

const usable = (score) => score && Number.isFinite(score.value);

/** A point with its interval on an axis from 0 to 1. */
function interval(score) {
  const x = (value) => 3 + 94 * value;
  return svg(
    "svg",
    { class: "interval", viewBox: "0 0 100 12", "aria-hidden": "true" },
    svg("line", { class: "interval-axis", x1: 3, x2: 97, y1: 6, y2: 6 }),
    svg("line", { class: "interval-range", x1: x(score.low), x2: x(score.high), y1: 6, y2: 6 }),
    svg("circle", { class: "interval-point", cx: x(score.value), cy: 6, r: 3.2 }),
  );
}

function scored(score, write) {
  if (!usable(score)) return dash;
  const words = `${write(score.value)} (${write(score.low)}–${write(score.high)})`;
  return el("span", { class: "scored" }, interval(score), el("span", {}, words));
}

const inPercent = (value) => (100 * value).toFixed(1);
const inThousandths = (value) => number(value);

function tiles(test) {
  const wanted = [
    ["sensitivity", "Sensitivity", "of slices with a tumor", percent],
    ["specificity", "Specificity", "of slices without", percent],
    ["roc_auc", "ROC AUC", "1 where both are told apart", number],
    ["calibration_error", "Calibration error", "0 where probabilities hold", number],
  ];
  const made = wanted
    .filter(([name]) => usable(test[name]))
    .map(([name, title, words, write]) => {
      const { value, low, high } = test[name];
      const range = el("span", { class: "tile-range" }, `${write(low)} – ${write(high)}`);
      const parts = [el("span", { class: "tile-name" }, title), el("span", { class: "tile-value" }, write(value)), range];
      return el("li", {}, parts, el("span", { class: "tile-words" }, words));
    });
  if (!made.length) return [];
  const words = "On the test images of the sources that it has learned from, all together: groups that were held out, of no source from outside.";
  return [el("h3", {}, "Held-out groups, all sources together"), el("p", { class: "note" }, words), el("ul", { class: "tiles" }, made)];
}

function performance(model) {
  if (!model.figures?.length) return null;
  const order = [...model.figures].sort((a, b) => (a.part !== "test") - (b.part !== "test") || a.source.localeCompare(b.source));
  const rows = order.map((row) => [
    el("span", {}, row.source, el("span", { class: "row-sub" }, row.part === "test" ? "held-out groups" : "external")),
    `${row.n} / ${row.n_tumor} / ${row.n_groups}`,
    scored(row.scores.sensitivity, inPercent),
    scored(row.scores.specificity, inPercent),
    scored(row.scores.roc_auc, inThousandths),
  ]);
  return section(
    "performance",
    "How well it does",
    el("p", {}, "At the threshold “balanced”. Intervals are 95\u00a0%, by resampling groups, not images. A source from outside (external) says more about your images than one that the network has learned from."),
    ...(model.test ? tiles(model.test) : []),
    table("Each source by itself", ["Source", "Images / tumor / groups", "Sensitivity, %", "Specificity, %", "ROC AUC"], rows),
  );
}

function places(model) {
  const rows = Object.entries(model.maps ?? {})
    .filter(([, entry]) => entry && entry.hit)
    .map(([name, entry]) => [name, String(entry.n), ...["hit", "energy", "overlap"].map((score) => scored(entry[score], inThousandths))]);
  if (!rows.length) return null;
  const words = "The tumor map against outlines that it was not trained on: how often its strongest place lies in the tumor, how much of its sum does, and how well both overlap.";
  return section("maps", "Where it looks", el("p", {}, words), table("Tumor map against outlines", ["Outlines of", "Images", "Strongest place inside", "Sum inside", "Overlap"], rows));
}

function data(model) {
  const counts = new Map();
  for (const row of model.data ?? []) {
    const name = `${row.source} ${row.contrast}`.trim();
    const entry = counts.get(name) ?? {};
    entry[`${row.part} ${row.label}`] = row.images;
    counts.set(name, entry);
  }
  if (!counts.size) return null;
  const pair = (entry, part) => `${entry[`${part} 1`] ?? 0} / ${entry[`${part} 0`] ?? 0}`;
  const rows = [...counts].sort().map(([name, entry]) => [name, ...["train", "validation", "test"].map((part) => pair(entry, part))]);
  return section("data", "What it has learned from", table("Images with / without a tumor", ["Source", "Training", "Validation", "Test"], rows));
}

function thresholds(model) {
  const rows = Object.entries(model.thresholds).map(([name, value]) => [name, number(value)]);
  const margins = Object.entries(model.margins ?? {}).map(([share, found]) => [percent(Number(share), 0), number(found.margin, 2), percent(found.referred)]);
  return section(
    "thresholds",
    "Thresholds and referral",
    el("p", {}, "Where no other is chosen, images are decided at “balanced”, volumes at “confirm”. All thresholds come from validation images, and so do the shares of wrong answers, which hold with 90\u00a0% confidence on images like those."),
    el(
      "div",
      { class: "side-by-side" },
      table("Thresholds", ["Name", "Probability"], rows),
      margins.length ? table("Referral", ["Wrong answers, at most", "Distance from even odds, logits", "Referred"], margins) : "",
    ),
  );
}

function facts(model) {
  const { environment = {} } = model;
  const parameters = environment.parameters ? `${(environment.parameters / 1e6).toFixed(2)} million` : null;
  const known = [
    ["brainsift", model.version],
    ["Network", model.name],
    ["SHA-256 of the network", el("code", {}, model.network_sha256)],
    ["Input", model.size ? `${model.size} × ${model.size} pixels, grey` : null],
    ["Parameters", parameters],
    ["Pretrained", environment.pretrained],
    ["Commit", environment.commit],
    ["Temperature", number(model.temperature, 2)],
    ["History", model.history ? (model.keeps_images ? "kept, with images" : "kept, without images") : "not kept"],
    ["Limits", `${counted(model.limits.files, "file")} and ${model.limits.upload_mb}\u00a0MB at a time`],
  ].filter(([, value]) => value);
  return section("facts", "Particulars", el("dl", { class: "facts" }, known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}

/** Fills the view. */
export function showAbout(model) {
  const card = (model.card ?? []).map(([title, text], place) => section(`card-${place}`, title, el("p", {}, text)));
  const [first, second, ...others] = card;
  const parts = [first, second, performance(model), places(model), thresholds(model), data(model), ...others, facts(model)];
  byId("about-notice").textContent = model.notice;
  byId("about-parts").replaceChildren(...parts.filter(Boolean));
  byId("about-contents").replaceChildren(
    ...parts.filter(Boolean).map((part) => el("li", {}, el("button", { type: "button", class: "link-button", onclick: () => jump(part) }, part.querySelector("h2").textContent))),
  );
}

function jump(part) {
  const heading = part.querySelector("h2");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  part.scrollIntoView({ block: "start" });
}
