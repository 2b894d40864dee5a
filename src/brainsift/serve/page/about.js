// @ts-check
// The model card, from what the server says of its network.

/** @import { Model, Score } from "./api.js" */
/** @import { Child } from "./dom.js" */

import { byId, el, first, svg } from "./dom.js";
import { counted, number, percent } from "./words.js";

const dash = "–";

/**
 * @param {string} caption
 * @param {string[]} heads
 * @param {Child[][]} rows their first cells are their heads.
 */
function table(caption, heads, rows) {
  const names = el("tr", {}, heads.map((words, place) => el("th", { scope: "col", class: place ? "figures" : null }, words)));
  const cells = rows.map(([head, ...others]) =>
    el("tr", {}, el("th", { scope: "row" }, head), others.map((cell) => el("td", { class: "figures" }, cell))),
  );
  const whole = el("table", { class: "plain" }, el("caption", {}, caption), el("thead", {}, names), el("tbody", {}, cells));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, whole);
}

/** @type {(id: string, title: string, ...content: Child[]) => HTMLElement} */
const section = (id, title, ...content) => el("section", { id, "aria-labelledby": `${id}-h` }, el("h2", { id: `${id}-h` }, title), ...content);

/**
 * @param {Score | undefined} score
 * @returns {score is Score}
 */
const isKnown = (score) => Number.isFinite(score?.value);

/**
 * A point with its interval on an axis from 0 to 1.
 *
 * @param {Score} score
 */
function interval(score) {
  /** @param {number} value */
  const x = (value) => 3 + 94 * value;
  return svg(
    "svg",
    { class: "interval", viewBox: "0 0 100 12", "aria-hidden": "true" },
    svg("line", { class: "interval-axis", x1: 3, x2: 97, y1: 6, y2: 6 }),
    svg("line", { class: "interval-range", x1: x(score.low), x2: x(score.high), y1: 6, y2: 6 }),
    svg("circle", { class: "interval-point", cx: x(score.value), cy: 6, r: 3.2 }),
  );
}

/**
 * A score in words with its interval.
 *
 * @param {Score | undefined} score
 * @param {(value: number) => string} write
 */
function scored(score, write) {
  if (!isKnown(score)) return dash;
  const words = `${write(score.value)} (${write(score.low)}–${write(score.high)})`;
  return el("span", { class: "scored" }, interval(score), el("span", {}, words));
}

/** @param {number} value */
const inPercent = (value) => (100 * value).toFixed(1);
/** @param {number} value */
const inThousandths = (value) => number(value);

/** @param {Model["test"]} test */
function tiles(test) {
  /** @type {[name: string, title: string, words: string, write: (value: number) => string][]} */
  const wanted = [
    ["sensitivity", "Sensitivity", "slices with a tumor that were found", percent],
    ["specificity", "Specificity", "slices without a tumor that were called tumor-free", percent],
    ["roc_auc", "ROC AUC", "1 is perfect, 0.5 is chance", number],
    ["calibration_error", "Calibration error", "0 is perfect", number],
  ];
  const made = wanted.flatMap(([name, title, words, write]) => {
    const score = test[name];
    if (!isKnown(score)) return [];
    const range = el("span", { class: "tile-range" }, `${write(score.low)} – ${write(score.high)}`);
    const parts = [el("span", { class: "tile-name" }, title), el("span", { class: "tile-value" }, write(score.value)), range];
    return [el("li", {}, parts, el("span", { class: "tile-words" }, words))];
  });
  if (!made.length) return [];
  const words = "On the test sets of all datasets that the network was trained on. Whole groups of related images were held out of the training. No external dataset is included.";
  return [el("h3", {}, "Held-out test sets, all datasets together"), el("p", { class: "note" }, words), el("ul", { class: "tiles" }, made)];
}

/** @param {Model} model */
function performance(model) {
  if (!model.figures.length) return null;
  /** @param {Model["figures"][number]} row */
  const isExternal = ({ part }) => Number(part !== "test");
  const order = [...model.figures].sort((a, b) => isExternal(a) - isExternal(b) || a.source.localeCompare(b.source));
  const rows = order.map((row) => [
    el("span", {}, row.source, el("span", { class: "row-sub" }, row.part === "test" ? "held-out test set" : "external")),
    `${row.n} / ${row.n_tumor} / ${row.n_groups}`,
    scored(row.scores.sensitivity, inPercent),
    scored(row.scores.specificity, inPercent),
    scored(row.scores.roc_auc, inThousandths),
  ]);
  return section(
    "performance",
    "Performance",
    el("p", {}, "At the threshold “balanced”. The 95\u00a0% confidence intervals come from resampling groups of related images, not single images. An external dataset says more about your own images than a dataset that the network was trained on."),
    ...tiles(model.test),
    table("Each dataset separately", ["Dataset", "Images / tumor / groups", "Sensitivity, %", "Specificity, %", "ROC AUC"], rows),
  );
}

/** @param {Model} model */
function places(model) {
  const rows = Object.entries(model.maps)
    .filter(([, { hit }]) => hit)
    .map(([name, { n, hit, energy, overlap }]) => [name, String(n), ...[hit, energy, overlap].map((score) => scored(score, inThousandths))]);
  if (!rows.length) return null;
  const words = "The tumor map compared with segmentation masks that were not used in training: how often its maximum lies inside the mask, which share of its sum lies inside, and how well map and mask overlap.";
  return section("maps", "Localization", el("p", {}, words), table("Tumor map compared with masks", ["Masks of", "Images", "Maximum inside", "Sum inside", "Overlap"], rows));
}

/** @param {Model} model */
function data(model) {
  /** @type {Map<string, Record<string, number>>} */
  const counts = new Map(); // by dataset, then by subset and label
  for (const { source, contrast, part, label, images } of model.data) {
    const name = `${source} ${contrast}`.trim();
    counts.set(name, { ...counts.get(name), [`${part} ${label}`]: images });
  }
  if (!counts.size) return null;
  /** @type {(entry: Record<string, number>, part: string) => string} */
  const pair = (entry, part) => `${entry[`${part} 1`] ?? 0} / ${entry[`${part} 0`] ?? 0}`;
  const rows = [...counts].sort().map(([name, entry]) => [name, ...["train", "validation", "test"].map((part) => pair(entry, part))]);
  return section("data", "Training data", table("Images with / without a tumor", ["Dataset", "Training", "Validation", "Test"], rows));
}

/** @param {Model} model */
function thresholds(model) {
  const { volumes } = model;
  const rows = Object.entries(model.thresholds).map(([name, value]) => [name, number(value), ...(volumes ? [number(volumes.thresholds[name])] : [])]);
  const margins = Object.entries(model.margins).map(([share, found]) => [percent(Number(share), 0), number(found.margin, 2), percent(found.referred)]);
  return section(
    "thresholds",
    "Thresholds and referral",
    el("p", {}, `By default, images are decided at “balanced” and volumes at ${volumes ? "their own " : ""}“confirm”. ${model.volumes_in_words} Thresholds and error rates were measured on the validation images. The error rates hold with 90\u00a0% confidence on images like those.`),
    el(
      "div",
      { class: "side-by-side" },
      table("Thresholds", ["Name", "Probability", ...(volumes ? ["Of volumes"] : [])], rows),
      margins.length ? table("Referral", ["Errors, at most", "Abstention margin, logits", "Referred"], margins) : "",
    ),
  );
}

/** @param {Model} model */
function facts(model) {
  const { environment } = model;
  const parameters = environment.parameters ? `${(environment.parameters / 1e6).toFixed(2)} million` : null;
  /** @type {[name: string, value: Child][]} */
  const known = [
    ["brainsift", model.version],
    ["Network", model.name],
    ["SHA-256 of the network", el("code", {}, model.network_sha256)],
    ["Input", model.size ? `${model.size} × ${model.size} pixels, grayscale` : null],
    ["Parameters", parameters],
    ["Pretrained", environment.pretrained],
    ["Commit", environment.commit],
    ["Temperature", number(model.temperature, 2)],
    ["History", model.history ? (model.keeps_images ? "kept, with images" : "kept, without images") : "not kept"],
    ["Limits", `${counted(model.limits.files, "file")} and ${model.limits.upload_mb}\u00a0MB per upload`],
  ];
  const rows = known.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return section("facts", "Details", el("dl", { class: "facts" }, rows));
}

/**
 * Fills the view.
 *
 * @param {Model} model
 */
export function showAbout(model) {
  const card = model.card.map(([title, text], place) => section(`card-${place}`, title, el("p", {}, text)));
  const figures = [performance(model), places(model), thresholds(model), data(model)];
  const parts = [...card.slice(0, 2), ...figures, ...card.slice(2), facts(model)].filter((part) => part !== null);
  byId("about-notice").textContent = model.notice;
  byId("about-parts").replaceChildren(...parts);
  byId("about-contents").replaceChildren(
    ...parts.map((part) => {
      const { textContent: title } = first("h2", HTMLElement, part);
      return el("li", {}, el("button", { type: "button", class: "link-button", onclick: () => jumpTo(part) }, title));
    }),
  );
}

/** @param {HTMLElement} part */
function jumpTo(part) {
  const heading = first("h2", HTMLElement, part);
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  part.scrollIntoView({ block: "start" });
}
