// The threshold: by name, by the sensitivity that is wanted, or by the share of errors that may remain.

import { makeRule, sensitivityOf } from "./decide.js";
import { byId, el, setText } from "./dom.js";
import { percent, thresholds } from "./words.js";

const STORED = "brainsift.threshold";
const NAMES = {
  "": ["Default", "Balanced for images. Confirm for volumes, whose many slices are as many chances of a false alarm."],
  balanced: ["Balanced", "Misses and false alarms weigh the same: the largest sum of sensitivity and specificity on validation images."],
  screening: ["Screening", "Few misses: 98\u00a0% of the tumors of the validation images were found. More false alarms."],
  confirm: ["Confirm", "Few false alarms: 98\u00a0% of the tumor-free validation images were called so. More misses."],
  even: ["Even", "Even odds: tumor when it is the more likely answer."],
};

const title = (name) => NAMES[name]?.[0] ?? name;

/** Calls `onrule` with the rule whenever the reader chooses another. */
export class ThresholdPanel {
  constructor(model, onrule) {
    this.model = model;
    this.onrule = onrule;
    this.slider = byId("sensitivity");
    this.errors = byId("max-error");
    this.#fill();
    this.choose(this.#stored());
  }

  choose(choice) {
    this.rule = makeRule(choice, this.model);
    if (!choice.maxError) this.unreferred = choice; // what "never" goes back to
    this.#show();
    this.onrule(this.rule);
    try {
      localStorage.setItem(STORED, JSON.stringify(choice));
    } catch {
      // storage is refused: the choice lasts as long as the page
    }
  }

  #fill() {
    const names = Object.keys(this.model.thresholds);
    byId("threshold-names").append(...["", ...names].map((name) => this.#radio(name, title(name), () => ({ name }))));
    const pairs = this.model.sensitivities;
    byId("by-sensitivity").hidden = !pairs.length;
    if (pairs.length) this.#fillSlider(pairs.map(([sensitivity]) => sensitivity));
    const shares = Object.keys(this.model.margins);
    byId("by-error").hidden = !shares.length || !names.includes("even");
    this.errors.append(
      el("option", { value: "" }, "never"),
      ...shares.map((share) => el("option", { value: share }, `so that at most ${percent(Number(share), 0)} are wrong`)),
    );
    this.errors.addEventListener("change", () => {
      this.choose(this.errors.value ? { maxError: Number(this.errors.value) } : (this.unreferred ?? {}));
    });
  }

  #fillSlider(known) {
    Object.assign(this.slider, { min: Math.min(...known), max: Math.max(...known), step: 0.005 });
    this.slider.addEventListener("input", () => this.choose({ sensitivity: Number(this.slider.value) }));
  }

  #radio(name, words, choice) {
    const input = el("input", { type: "radio", name: "threshold", value: name, onchange: () => this.choose(choice()) });
    return el("label", { class: "segment" }, input, el("span", {}, words));
  }

  #stored() {
    const fallback = {};
    try {
      const choice = JSON.parse(localStorage.getItem(STORED)) ?? fallback;
      const { threshold, margin } = makeRule(choice, this.model);
      return Number.isFinite(threshold) && Number.isFinite(margin) ? choice : fallback; // of another network, perhaps
    } catch {
      return fallback;
    }
  }

  #show() {
    const { choice } = this.rule;
    const name = choice.sensitivity || choice.maxError ? null : (choice.name ?? "");
    for (const radio of document.querySelectorAll("input[name=threshold]")) radio.checked = radio.value === name;
    this.errors.value = choice.maxError ? String(choice.maxError) : "";
    this.#showSensitivity();
    setText(byId("threshold-name"), this.#named());
    setText(byId("threshold-value"), thresholds(this.rule));
    setText(byId("threshold-words"), this.#words());
  }

  #showSensitivity() {
    const { choice, threshold } = this.rule;
    const reached = choice.sensitivity ?? sensitivityOf(threshold, this.model.sensitivities);
    if (reached !== null) this.slider.value = reached;
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
    if (choice.sensitivity) return `The largest threshold that found ${percent(choice.sensitivity)} of the tumors of the validation images.`;
    if (!choice.maxError) return NAMES[choice.name ?? ""]?.[1] ?? "";
    const referred = this.model.margins[String(choice.maxError)]?.referred;
    const cost = referred === undefined ? "" : ` Of the validation images ${percent(referred, 0)} were referred.`;
    return `Answers near even odds are referred, so that of those given at most ${percent(choice.maxError, 0)} are wrong, on images like the validation images.${cost}`;
  }
}
