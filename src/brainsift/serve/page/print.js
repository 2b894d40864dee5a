// @ts-check
// What stands below a page that is printed: the rule, the network, the date. A print stands alone.

/** @import { Model } from "./api.js" */
/** @import { Case } from "./cases.js" */
/** @import { ChosenRule } from "./decide.js" */

import { ofVolumes } from "./decide.js";
import { byId, setText } from "./dom.js";
import { localTime, ruleInWords } from "./rows.js";
import { number } from "./words.js";

/**
 * What made the results that are shown, in a sentence.
 *
 * @param {Pick<Model, "name" | "version" | "network_sha256" | "notice">} model
 * @param {ChosenRule} chosen
 * @param {Case | null} kept the case that is shown, where it comes from the history: it is decided as it was then.
 * @param {Date} when
 */
export function originInWords({ name, version, network_sha256: checksum, notice }, chosen, kept, when) {
  const printed = `Printed ${localTime(when)}. ${notice}`;
  if (kept?.record) {
    const { model, created } = kept.record;
    return `Network and version ${model}, threshold ${number(kept.rule.threshold)}, margin ${number(kept.rule.margin, 2)}, scored ${created}. ${printed}`;
  }
  const limits = `threshold ${number(chosen.threshold)}, for volumes ${number(ofVolumes(chosen).threshold)}, margin ${number(chosen.margin, 2)}`;
  return `Network ${name} ${checksum.slice(0, 12)}, brainsift ${version}. Rule ${ruleInWords(chosen.choice)}: ${limits}. ${printed}`;
}

/**
 * @param {Model} model
 * @param {{ rule: () => ChosenRule, shown: () => Case | null }} now the rule in use, and the case that is shown.
 */
export function listenToPrint(model, { rule, shown }) {
  window.addEventListener("beforeprint", () => {
    const one = shown();
    setText(byId("print-origin"), originInWords(model, rule(), one?.kept ? one : null, new Date()));
  });
}
