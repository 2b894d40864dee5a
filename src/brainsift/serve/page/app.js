// @ts-check
// Puts the parts together.

/** @import { Model, Verdict } from "./api.js" */
/** @import { Case } from "./cases.js" */
/** @import { Offer } from "./compare.js" */
/** @import { Found } from "./files.js" */

import { showAbout } from "./about.js";
import { getModel, history as keptCases } from "./api.js";
import { fail, forgive, listenToConnection } from "./banner.js";
import { said } from "./blind.js";
import { CaseView } from "./case.js";
import { Cases } from "./cases.js";
import { CompareDialog } from "./compare.js";
import { all, announce, byId, confirm, first, setText, throttled } from "./dom.js";
import { listenForFiles } from "./drop.js";
import { embeddedJob } from "./embedded.js";
import { ExportMenu } from "./export.js";
import { HistoryView, offerOfKept } from "./history.js";
import { Intake } from "./intake.js";
import { Judging } from "./judging.js";
import { listenToKeys } from "./keyboard.js";
import { List } from "./list.js";
import { earlierOf } from "./pairing.js";
import { listenForPreview } from "./preview.js";
import { listenToPrint } from "./print.js";
import { Rug } from "./scale.js";
import { ThresholdPanel } from "./threshold.js";
import { count, counted, label, missingInWords, number, percent } from "./words.js";

const VIEWS = ["cases", "history", "about"];
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];
const narrow = matchMedia("(max-width: 759px)");
const low = matchMedia("(max-height: 699px)");

/** @param {string} name */
function showView(name) {
  for (const view of VIEWS) byId(`view-${view}`).hidden = view !== name;
  for (const link of all("#views a", HTMLAnchorElement)) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "cases" ? "brainsift" : `${name === "about" ? "About" : "History"} · brainsift`;
  document.body.dataset.view = name;
  window.scrollTo(0, 0);
}

const currentView = () => VIEWS.find((view) => location.hash === `#/${view}`) ?? "cases";

let listPlace = 0; // how far the list was scrolled on a phone, where the case takes its place

/**
 * On a phone the browser's history knows of the case, so that its Back leads to the list.
 *
 * @param {"list" | "case"} pane
 */
function showPane(pane) {
  const view = byId(`view-${currentView()}`);
  if (view.dataset.pane === pane) return;
  if (pane === "case") listPlace = window.scrollY;
  view.dataset.pane = pane;
  if (!narrow.matches) return;
  window.scrollTo(0, pane === "case" ? 0 : listPlace);
  const known = window.history.state?.pane ?? "list";
  if (pane === "case" && known === "list") window.history.pushState({ pane }, "");
  else if (pane !== known) window.history.replaceState(null, "");
}

/**
 * Shows how far the scoring is, and at the end what came of it.
 *
 * @param {Intake} intake
 * @param {Cases} cases
 */
function showProgress(intake, cases) {
  const { busy, done, total, sending } = intake;
  const stops = !busy && byId("progress").contains(document.activeElement);
  byId("progress").hidden = !busy;
  const bar = byId("progress-bar", HTMLProgressElement);
  if (sending !== null && !done) {
    setText(byId("progress-words"), `Uploading ${percent(sending, 0)}`);
    bar.value = 0;
  } else {
    setText(byId("progress-words"), `${count(done)} of ${counted(total, "image")} scored`);
    bar.max = Math.max(total, 1);
    bar.value = done;
  }
  document.body.dataset.busy = String(busy);
  showEmptiness(intake, cases);
  if (stops) focusOnAdding();
  const missing = missingInWords(intake);
  for (const node of [byId("skipped"), byId("nothing-found")]) {
    setText(node, missing);
    node.hidden = !missing;
  }
}

/**
 * Shows either the list or, while there is nothing, where to begin.
 *
 * @param {Intake} intake
 * @param {Cases} cases
 */
function showEmptiness(intake, cases) {
  const view = byId("view-cases");
  const state = cases.all.length || intake.busy ? "some" : "empty";
  if (view.dataset.state === state) return;
  const hides = view.contains(document.activeElement);
  view.dataset.state = state;
  if (hides) focusOnAdding();
}

/** Where the focus goes when what had it is hidden. */
function focusOnAdding() {
  const place = byId("view-cases").dataset.state === "empty" ? ".welcome" : ".list-head";
  first(`#view-cases ${place} [data-opens=pick-files]`).focus();
}

/**
 * Says to screen readers what came of it.
 *
 * @param {Intake} intake
 * @param {Cases} cases
 */
function sayEnd(intake, cases) {
  const counts = Object.entries(cases.counts()).filter(([, amount]) => amount);
  const found = counts.map(([decision, amount]) => `${label(decision)} ${count(amount)}`).join(", ");
  const isDone = found && !intake.stopped && !intake.nothing;
  const words = [isDone ? `Done. ${found}.` : "", missingInWords(intake)].filter(Boolean).join(" ");
  if (words) announce(words);
}

/**
 * @param {Intake} intake
 * @param {Cases} cases
 * @param {object} acts
 * @param {() => boolean} acts.isChosen whether the reader chose the case that is shown.
 * @param {(one: Case, options: { quiet: boolean }) => void} acts.open
 * @param {(one: Case) => void} acts.reveal
 */
function listenToIntake(intake, cases, { isChosen, open, reveal }) {
  let wasBusy = false;
  let spoken = 0;
  intake.on("progress", () => {
    showProgress(intake, cases);
    const tenth = intake.total ? Math.floor((10 * intake.done) / intake.total) : 0;
    if (intake.busy && tenth !== spoken) announce(`${count(intake.done)} of ${count(intake.total)} scored`);
    spoken = tenth;
    if (wasBusy && !intake.busy) sayEnd(intake, cases);
    wasBusy = intake.busy;
  });
  cases.on("added", (one) => {
    const isFirst = one.order === intake.fresh.order;
    const isWanted = !cases.selected || (isFirst && intake.fresh.alone && !isChosen());
    if (isWanted && !narrow.matches) open(one, { quiet: true });
    if (isFirst && intake.fresh.alone && narrow.matches) open(one, { quiet: false }); // on a phone, a single file opens its result
    showEmptiness(intake, cases);
    if (isFirst && cases.all.length > 1) reveal(one);
  });
  cases.on("removed", () => showEmptiness(intake, cases));
  byId("cancel").addEventListener("click", () => intake.cancel());
  byId("clear").addEventListener("click", async () => {
    const text = `${counted(cases.all.length, "case")} and their files will be removed from the list and from the server's memory.`;
    if (await confirm({ title: "Clear the list?", text, action: "Clear" })) {
      intake.clear();
      showPane("list");
      announce("The list is empty.");
    }
  });
}

/**
 * The case that is looked at follows what happens to it.
 *
 * @param {Cases} cases
 * @param {CaseView} view
 */
function listenToCases(cases, view) {
  cases.on("selected", (one) => currentView() === "cases" && view.show(one));
  cases.on("rule", () => view.one === cases.selected && view.update());
  cases.on("changed", (one) => one === view.one && view.update());
}

/**
 * @param {(by: number) => void} step
 * @returns {() => void} goes back to the list.
 */
function listenToPanes(step) {
  const toList = () => {
    showPane("list");
    if (narrow.matches) all(`#view-${currentView()} .selected .case-open`)[0]?.focus();
  };
  const back = () => {
    if (byId(`view-${currentView()}`).dataset.pane !== "case") return;
    if (narrow.matches && window.history.state?.pane === "case") window.history.back();
    else toList();
  };
  window.history.scrollRestoration = "manual";
  window.history.replaceState(null, ""); // a reload starts with the list
  window.addEventListener("popstate", ({ state }) => {
    if (!narrow.matches || currentView() === "about") return;
    if (state?.pane === "case") showPane("case");
    else toList();
  });
  byId("back").addEventListener("click", back);
  byId("previous-case").addEventListener("click", () => step(-1));
  byId("next-case").addEventListener("click", () => step(1));
  byId("wide").addEventListener("click", () => setWide(byId("wide").getAttribute("aria-pressed") !== "true"));
  return back;
}

/** @param {Case} one @returns {Offer} */
const offerOf = (one) => ({ name: one.folder + one.name, slices: one.slices.length, studyDate: one.studyDate, open: async () => one });

/**
 * The earlier studies of the same patient: of the list, and those that only the history has.
 *
 * @param {Case} one
 * @param {Cases} cases
 * @returns {Promise<Offer[]>}
 */
async function earlierOffers(one, cases) {
  const listed = earlierOf(one, cases.all);
  const kept = one.record ? await keptCases.earlier(one.record.id) : [];
  const known = new Set(listed.map(({ record }) => record?.id));
  const others = kept.filter(({ id }) => !known.has(id)).map(offerOfKept);
  return [...listed.map(offerOf), ...others].sort((a, b) => b.studyDate.localeCompare(a.studyDate));
}

/** The part of the address behind # names the view, so these links only move the focus. */
function listenToSkips() {
  for (const link of all(".skip", HTMLAnchorElement)) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      byId(link.hash.slice(1)).focus();
    });
  }
}

/** @param {boolean} yes whether the table takes the place of the case. */
function setWide(yes) {
  byId("wide").setAttribute("aria-pressed", String(yes));
  byId("view-cases").classList.toggle("wide", yes);
}

/** @param {Model} model */
function showPrivacy(model) {
  const here = LOOPBACK.includes(location.hostname);
  const where = here ? "Your images stay on this machine." : `Your images are sent to ${location.host} and nowhere else.`;
  setText(byId("privacy"), model.history ? `${where} Predictions are kept in the history.` : where);
}

async function start() {
  listenToConnection();
  const model = await getModel();
  const panel = new ThresholdPanel(model);
  const cases = new Cases(panel.rule);
  panel.on("rule", (rule) => {
    cases.setRule(rule);
    const { tumor, no_tumor: noTumor, refer } = cases.counts();
    announce(cases.all.length ? `Threshold ${number(rule.threshold)}: ${count(tumor)} tumor, ${count(noTumor)} no tumor, ${count(refer)} to refer` : "");
  });
  const rug = new Rug(byId("rug"));
  const showRug = throttled(() => rug.show(cases.all, cases.rule), 100);
  for (const type of /** @type {const} */ (["added", "changed", "removed", "rule"])) cases.on(type, showRug);
  rug.show(cases.all, cases.rule);
  panel.fold(narrow.matches || low.matches);

  const view = new CaseView({ hasHistory: model.history });
  /** The case that the reader chose, not the page. @type {Case | null} */
  let chosen = null;
  /** @type {(one: Case, options?: { quiet?: boolean, steps?: boolean }) => void} */
  const open = (one, { quiet = false, steps = false } = {}) => {
    const again = one === cases.selected && !steps;
    if (!quiet) {
      chosen = one;
      if (!steps) setWide(false);
      showPane("case");
    }
    cases.select(one);
    if (quiet) return;
    announce(said(one));
    if (narrow.matches || again) byId("case-title").focus();
  };
  const list = new List(cases, open);
  const intake = new Intake(cases, model);
  listenForPreview(intake, () => !view.one && !narrow.matches);
  const history = new HistoryView(model, (one) => {
    if (currentView() !== "history") return; // it came late: the reader went on
    view.show(one);
    showPane(one ? "case" : "list");
    if (one) announce(said(one));
  });
  const viewed = () => (currentView() === "history" ? history : list);
  /** @param {number} by */
  const step = (by) => viewed().step(by);
  /** @param {Verdict} verdict */
  const judge = (verdict) => {
    if (!view.one) return;
    if (view.one.status === "unreadable" || view.judge(verdict)) viewed().stepToUnjudged();
    else announce(model.history ? "This case cannot be judged yet. It is not in the history." : "Start the server with --keep to record verdicts.");
  };
  const dialog = new CompareDialog();
  const compare = () => {
    const { one } = view;
    if (view.beside.isOn) view.beside.end();
    else if (one) {
      const offers = currentView() === "history" ? history.offers(one) : list.shown().filter((other) => other !== one).map(offerOf);
      const onchoose = /** @param {Case} other */ (other) => view.one === one && view.compareWith(other);
      dialog.open(one, { offers, earlier: earlierOffers(one, cases).catch(() => []), onchoose });
    }
  };
  byId("compare").addEventListener("click", compare);
  const back = listenToPanes(step);
  listenToSkips();
  listenToCases(cases, view);
  listenToIntake(intake, cases, { isChosen: () => chosen === cases.selected, open, reveal: (one) => list.reveal(one) });
  new ExportMenu(cases, list, model);
  new Judging(cases, intake, model);
  listenToPrint(model, { rule: () => cases.rule, shown: () => view.one });
  showAbout(model);
  showPrivacy(model);

  /** @param {Promise<(Found | null)[]>} found */
  const add = async (found) => {
    location.hash = "#/cases";
    showPane("list");
    forgive();
    await intake.add(await found);
    if (intake.nothing) sayEnd(intake, cases);
  };
  listenForFiles((found) => add(found).catch(fail));
  listenToKeys({
    step,
    judge,
    view,
    viewer: view.stage.viewer,
    stage: view.stage,
    compare,
    search: () => byId(currentView() === "history" ? "history-search" : "search").focus(),
    addFiles: () => byId("pick-files").click(),
    back,
    isActive: () => currentView() !== "about",
  });
  const enter = () => {
    const name = currentView();
    showView(name);
    if (name === "about") return;
    byId("delete-case").hidden = name !== "history";
    first(`#view-${name} .work`).append(byId("case-pane")); // both lists show their cases in it
    if (name === "history") history.refresh();
    else view.show(cases.selected);
  };
  window.addEventListener("hashchange", enter);
  enter();
  const job = embeddedJob();
  document.body.classList.toggle("embedded", job !== null);
  await intake.restore(job);
  if (intake.forgotten && !intake.busy) sayEnd(intake, cases);
  document.body.dataset.ready = "true";
}

start().catch(fail);
