// The case: picture, map, answer in words; for a volume its slices.

import { connection, history, look } from "./api.js";
import { announce, byId, el, setText, unhurried } from "./dom.js";
import { decisionCell } from "./list.js";
import { prefetch } from "./pictures.js";
import { Scale } from "./scale.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { VerdictForm } from "./verdict.js";
import { answered, because, explain, label, number } from "./words.js";

const AHEAD = 3; // slices on each side that are loaded before they are asked for
const KEPT_TRIES = 10;
const KEPT_WAIT_MS = 500;
const SAID_MS = 600; // slices go by faster than they can be said

export class CaseView {
  constructor({ keeps }) {
    this.keeps = keeps;
    this.one = null;
    this.kept = null;
    this.stage = new Stage();
    this.strip = new Strip(byId("strip"));
    this.scale = new Scale();
    this.sliceScale = new Scale();
    this.verdict = new VerdictForm();
    this.sliceVerdict = new VerdictForm();
    this.saySlice = unhurried(() => this.#saySlice(), SAID_MS);
    byId("stage").prepend(this.stage.node);
    byId("answer-scale").append(this.scale.node);
    byId("slice-scale").append(this.sliceScale.node);
    byId("case-tools").append(this.stage.tools);
    byId("case-verdict").prepend(this.verdict.node);
    byId("slice-verdict").append(this.sliceVerdict.node);
    this.#listen();
  }

  /** Shows a case, or that there is none. */
  show(one) {
    if (one !== this.one) byId("case-pane").scrollTop = 0;
    this.one = one;
    byId("case-none").hidden = Boolean(one);
    byId("case-body").hidden = !one;
    byId("case-verdict").hidden = true;
    if (!one) return this.stage.viewer.clear();
    this.update();
    this.#loadVerdicts();
    return this.#showSlice(false);
  }

  /** Goes to a slice of the volume that is shown. */
  go(place) {
    const { one } = this;
    if (!one?.isVolume) return;
    one.chosen = Math.min(Math.max(place, 0), one.answers.length - 1);
    this.#showSlice(true);
    this.saySlice();
  }

  #saySlice() {
    const { one } = this;
    if (!one?.isVolume || document.activeElement === byId("slice-slider")) return; // the slider says it itself
    announce(answered(`Slice ${one.place + 1} of ${one.answers.length}`, one.slice));
  }

  step(by) {
    if (this.one) this.go(this.one.place + by);
  }

  goToMostSuspicious() {
    if (this.one?.suspicious.length) this.go(this.one.suspicious[0]);
  }

  #listen() {
    const { stage, strip } = this;
    connection.addEventListener("back", () => this.one && this.#showSlice(true));
    stage.viewer.addEventListener("scroll", ({ detail }) => this.step(detail));
    strip.addEventListener("go", ({ detail }) => this.go(detail));
    byId("slice-slider").addEventListener("input", (event) => this.go(Number(event.target.value) - 1));
    byId("previous-slice").addEventListener("click", () => this.step(-1));
    byId("next-slice").addEventListener("click", () => this.step(1));
    byId("most-suspicious").addEventListener("click", () => this.goToMostSuspicious());
  }

  /** Shows what has changed: more slices, or another threshold. */
  update() {
    const { one } = this;
    const { rule } = one;
    setText(byId("case-title"), one.name);
    byId("case-title").title = one.folder + one.name;
    setText(byId("case-where"), one.where);
    byId("answer").dataset.decision = one.decision;
    setText(byId("answer-kind"), one.isVolume ? `Volume, ${one.answers.length} slices` : one.status === "unreadable" ? "File" : "Slice");
    byId("answer-decision").replaceChildren(decisionCell(one.decision));
    setText(byId("answer-number"), one.probability === null ? "" : number(one.probability));
    byId("answer").classList.toggle("doubtful", one.status === "not_brain_mri");
    setText(byId("answer-words"), one.isVolume ? volumeWords(one, rule) : explain(one, rule));
    this.#showReason(byId("answer-reason"), one);
    this.scale.show(one, rule);
    byId("volume-bar").hidden = !one.isVolume;
    byId("slice-answer").hidden = !one.isVolume;
    if (one.isVolume) this.#showVolume();
  }

  #showReason(node, { status, detail }) {
    node.hidden = !detail;
    const heads = { unreadable: "Why", not_brain_mri: "Why", ok: "Note" };
    node.replaceChildren(el("strong", {}, heads[status]), ` ${because({ status, detail })}`);
  }

  #showVolume() {
    const { one } = this;
    byId("slice-slider").max = one.answers.length;
    this.strip.show(one.slices, one.sliceRule);
    byId("most-suspicious").disabled = !one.suspicious.length;
    byId("suspicious").replaceChildren(...one.suspicious.map((place) => this.#suspiciousButton(place)));
    byId("suspicious-head").hidden = !one.suspicious.length;
    this.#showSliceAnswer();
  }

  #suspiciousButton(place) {
    const slice = this.one.slices[place];
    const words = `Slice ${place + 1}, probability ${number(slice.probability)}`;
    const onclick = () => this.go(place);
    const parts = [el("span", {}, `Slice ${place + 1}`), el("span", { class: "figures" }, number(slice.probability))];
    const button = el("button", { type: "button", class: "jump", "aria-label": words, "data-place": place, onclick }, parts);
    return el("li", {}, button);
  }

  #showSliceAnswer() {
    const { one } = this;
    const { slice, place } = one;
    const count = one.answers.length;
    this.strip.mark(place);
    byId("slice-slider").value = place + 1;
    byId("slice-slider").setAttribute("aria-valuetext", `Slice ${place + 1} of ${count}, ${label(slice.decision)}`);
    setText(byId("slice-number"), `${place + 1} / ${count}`);
    setText(byId("slice-title"), `Slice ${place + 1}`);
    byId("slice-decision").replaceChildren(decisionCell(slice.decision));
    setText(byId("slice-probability"), slice.probability === null ? "" : number(slice.probability));
    this.sliceScale.show(slice, one.sliceRule);
    this.#showReason(byId("slice-reason"), slice);
    for (const button of document.querySelectorAll("#suspicious button")) {
      button.setAttribute("aria-current", String(Number(button.dataset.place) === place));
    }
  }

  async #showSlice(keepView) {
    const { one } = this;
    const { slice, place } = one;
    if (one.isVolume) this.#showSliceAnswer();
    this.stage.setScrolls(one.isVolume);
    this.#showSliceVerdict();
    if (slice.status === "unreadable") return this.stage.say(`There is no picture: the file ${one.refused ? "was not scored" : "could not be read"}.`);
    if (!one.layers(slice).pictureUrl) return this.stage.say("Its image was not kept. The server keeps images when it is started with --keep-images.");
    await this.stage.show(addresses(one, place), { keepView });
    if (this.one !== one || !one.isVolume) return undefined;
    return prefetch(around(one).flatMap((near) => Object.values(one.layers(one.slices[near])).filter(Boolean)));
  }

  async #loadVerdicts() {
    const { one } = this;
    this.kept = null;
    if (!this.keeps || one.status === "unreadable") return;
    const kept = await (one.kept ?? keptOf(one, () => this.one === one)).catch(() => null);
    if (!kept || this.one !== one) return;
    this.kept = kept;
    this.verdict.show(kept.whole);
    byId("slice-verdict").hidden = !kept.slices.length;
    byId("case-verdict").hidden = false;
    this.#showSliceVerdict();
  }

  #showSliceVerdict() {
    const record = this.kept?.slices[this.one.place];
    if (!record) return;
    setText(byId("slice-verdict-title"), `On slice ${this.one.place + 1} alone`);
    this.sliceVerdict.show(record);
  }
}

/** What the history has of a case: {whole, slices}, null where it has nothing; an answer is kept soon after it was given. */
async function keptOf(one, wanted) {
  let known = 0;
  for (let left = KEPT_TRIES; left && one.job && wanted(); ) {
    const { cases, state } = await look(one.job, Number.MAX_SAFE_INTEGER);
    const number = cases[one.answers.at(-1).id];
    if (number) {
      const last = await history.open(number);
      if (!last.part_of) return { whole: last, slices: [] };
      const [whole, slices] = await Promise.all([history.open(last.part_of), history.slices(last.part_of)]);
      return { whole, slices };
    }
    if (cases.length > known) [left, known] = [KEPT_TRIES, cases.length]; // a long volume takes its time
    else if (state !== "queued" && state !== "running") left -= 1; // it is kept when all of its job is scored
    await new Promise((resolve) => setTimeout(resolve, KEPT_WAIT_MS));
  }
  return null;
}

function addresses(one, place) {
  const slice = one.slices[place];
  const which = one.isVolume ? `${one.name}, slice ${place + 1} of ${one.answers.length}` : one.name;
  const answer = slice.probability === null ? "" : `, probability of a tumor ${number(slice.probability)}`;
  const words = `${which}: ${label(slice.decision)}${answer}`;
  return { ...one.layers(slice), words };
}

function around(one) {
  const near = [];
  for (let by = 1; by <= AHEAD; by += 1) near.push(one.place + by, one.place - by);
  return near.filter((place) => one.slices[place] && one.slices[place].status !== "unreadable");
}

function volumeWords(one, rule) {
  if (one.status !== "ok") return "No slice of this volume could be judged.";
  const mean = `The largest mean over three adjacent slices, ${number(one.probability)}`;
  if (one.reason === "too_few_slices") return "Too few slices of this volume could be judged. A reader should decide.";
  const end = ` ${one.nScored} of ${one.answers.length} slices were judged.`;
  if (one.decision === "refer") return `${mean}, is too close to even odds. A reader should decide.${end}`;
  const against = one.decision === "tumor" ? "reaches" : "stays below";
  return `${mean}, ${against} the threshold of ${number(rule.threshold)}.${end}`;
}
