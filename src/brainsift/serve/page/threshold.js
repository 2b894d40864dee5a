// @ts-check
// The threshold: by name, by its sensitivity, or by the share of errors that may remain.

/** @import { Choice, ChosenRule, Thresholds } from "./decide.js" */

import { makeRule, sensitivityOf } from "./decide.js";
import { all, byId, el, first, setText } from "./dom.js";
import { Emitter } from "./emitter.js";
import { recall, recallJson, remember } from "./stored.js";
import { percent, thresholds } from "./words.js";

const STORED = "brainsift.threshold";
const OPEN = "brainsift.threshold.panel";
/** @type {Record<string, [title: string, words: string]>} */
const NAMES = {
  "": ["Default", "Balanced for images, Confirm for volumes: each of the many slices of a volume could give a false positive."],
  balanced: ["Balanced", "Missed tumors and false positives count the same: the largest sum of sensitivity and specificity on the validation images."],
  screening: ["Screening", "High sensitivity: it found 98\u00a0% of the tumors in the validation images. There are more false positives."],
  confirm: ["Confirm", "High specificity: it called 98\u00a0% of the tumor-free validation images tumor-free. More tumors are missed."],
  even: ["Even", "Threshold 0.5: a tumor where that is more likely than not."],
};

/** @param {string} name */
const title = (name) => NAMES[name]?.[0] ?? name;

/** Tells whenever the reader chooses another "rule". @extends {Emitter<{ rule: ChosenRule }>} */
export class ThresholdPanel extends Emitter {
  /** What "never" goes back to. @type {Choice} */
  #unreferred = {};

  /** @param {Thresholds} model */
  constructor(model) {
    super();
    this.model = model;
    this.slider = byId("sensitivity", HTMLInputElement);
    this.errors = byId("max-error", HTMLSelectElement);
    /** @type {string[]} */
    this.shares = [];
    this.#fill();
    this.rule = storedRule(model, this.shares);
    this.#show();
  }

  /**
   * Folds the panel to one line where there is little room, or where the reader used it before; what he opens stays open.
   *
   * @param {boolean} isSmall
   */
  fold(isSmall) {
    const panel = first(".threshold", HTMLDetailsElement);
    panel.open = !isSmall && recall(OPEN) !== "folded";
    first("summary", HTMLElement, panel).addEventListener("click", () => remember(OPEN, panel.open ? "folded" : "open"));
  }

  /** @param {Choice} choice */
  choose(choice) {
    const rule = makeRule(choice, this.model);
    if (!rule) return;
    this.rule = rule;
    this.#show();
    this.emit("rule", rule);
    remember(STORED, JSON.stringify(choice));
    if (!recall(OPEN)) remember(OPEN, "folded"); // it was used: next time one line is enough
  }

  #fill() {
    const names = Object.keys(this.model.thresholds);
    byId("threshold-names").append(...["", ...names].map((name) => this.#radio(name)));
    const pairs = this.model.sensitivities;
    byId("by-sensitivity").hidden = !pairs.length;
    if (pairs.length) this.#fillSlider(pairs.map(([sensitivity]) => sensitivity));
    const shares = Object.keys(this.model.margins).filter((share) => this.model.margins[share].referred > 0); // others change nothing
    this.shares = shares;
    byId("by-error").hidden = !shares.length || !names.includes("even");
    this.errors.append(
      el("option", { value: "" }, "never"),
      ...shares.map((share) => el("option", { value: share }, `for at most ${percent(Number(share), 0)} errors`)),
    );
    this.errors.addEventListener("change", () => {
      this.choose(this.errors.value ? { maxError: Number(this.errors.value) } : this.#unreferred);
    });
  }

  /** @param {number[]} known */
  #fillSlider(known) {
    Object.assign(this.slider, { min: Math.min(...known), max: Math.max(...known), step: 0.005 });
    this.slider.addEventListener("input", () => this.choose({ sensitivity: Number(this.slider.value) }));
  }

  /** @param {string} name */
  #radio(name) {
    const input = el("input", { type: "radio", name: "threshold", value: name, onchange: () => this.choose({ name }) });
    return el("label", { class: "segment" }, input, el("span", {}, title(name)));
  }

  #show() {
    const { choice } = this.rule;
    if (!choice.maxError) this.#unreferred = choice;
    const name = choice.sensitivity || choice.maxError ? null : (choice.name ?? "");
    for (const radio of all("input[name=threshold]", HTMLInputElement)) radio.checked = radio.value === name;
    this.errors.value = choice.maxError ? String(choice.maxError) : "";
    this.#showSensitivity();
    setText(byId("threshold-name"), this.#named());
    setText(byId("threshold-value"), thresholds(this.rule));
    setText(byId("threshold-words"), this.#words());
  }

  #showSensitivity() {
    const { choice, threshold } = this.rule;
    const reached = choice.sensitivity ?? sensitivityOf(threshold, this.model.sensitivities);
    if (reached !== null) this.slider.value = String(reached);
    const words = choice.maxError || reached === null ? "–" : percent(reached);
    setText(byId("sensitivity-value"), words);
    this.slider.setAttribute("aria-valuetext", words);
  }

  #named() {
    const { choice } = this.rule;
    if (choice.sensitivity) return `sensitivity ${percent(choice.sensitivity)}`;
    return choice.maxError ? `errors ≤ ${percent(choice.maxError, 0)}` : title(choice.name ?? "");
  }

  #words() {
    const { choice } = this.rule;
    if (choice.sensitivity) return `The highest threshold that found ${percent(choice.sensitivity)} of the tumors in the validation images.`;
    if (!choice.maxError) return NAMES[choice.name ?? ""]?.[1] ?? "";
    const referred = this.model.margins[String(choice.maxError)]?.referred;
    return `Predictions near 0.5 are referred: ${percent(referred, 0)} of the validation images. Of the others, at most ${percent(choice.maxError, 0)} are wrong on images like those.`;
  }
}

/**
 * The rule that the reader chose the last time, or the default: the choice may be of another network.
 *
 * @param {Thresholds} model
 * @param {string[]} shares of errors that are offered.
 */
function storedRule(model, shares) {
  const choice = recallJson(STORED) ?? {};
  const isOffered = !choice.maxError || shares.includes(String(choice.maxError));
  return (isOffered && makeRule(choice, model)) || /** @type {ChosenRule} */ (makeRule({}, model));
}
