// @ts-check
// The two other planes of a volume beside its slices, joined by a crosshair. Only the slices were scored.

/** @import { Geometry, PlaneCut, Planes } from "./api.js" */
/** @import { Case } from "./cases.js" */
/** @import { Placed, Vector } from "./space.js" */

import { getPlanes, planeOf } from "./api.js";
import { isHidden } from "./blind.js";
import { announce, el, setText } from "./dom.js";
import { volumeInWords } from "./measure.js";
import { picture } from "./pictures.js";
import { position, sidesInWords } from "./places.js";
import { moved, nearest, toPatient, toPicture } from "./space.js";
import { Viewer, canvasWithSides } from "./viewer.js";
import { inWords } from "./words.js";

/** @typedef {import("./stage.js").Stage} Stage */

/** @param {Geometry["plane"]} plane */
const named = (plane) => plane[0].toUpperCase() + plane.slice(1);

/** Whether the map may be seen: not of a rejected volume, nor before the reader has judged it in blind mode. @param {Case} one */
const hasMap = (one) => one.status !== "not_brain_mri" && !isHidden(one);

/** One of the two other planes. */
class Pane {
  #turn = 0;

  constructor() {
    const { canvas, sides } = canvasWithSides();
    this.canvas = canvas;
    this.sides = sides;
    this.words = el("p", { class: "pane-words figures" });
    this.node = el("div", { class: "canvas-box pane" }, this.canvas, this.sides, this.words);
    this.viewer = new Viewer(this.canvas);
    this.viewer.scrolls = true;
    /** @type {PlaneCut | null} */
    this.cut = null;
    this.number = 0;
    this.drawn = ""; // the plane in which contours are drawn, while the reader draws
  }

  /** @param {string} drawn the plane in which contours are drawn; "" while the reader does not draw. */
  setDrawn(drawn) {
    this.drawn = drawn;
    this.#say();
  }

  #say() {
    if (!this.cut) return;
    const parts = [`${named(this.cut.plane)} ${this.number + 1} / ${this.cut.count}`, "not scored"];
    if (this.drawn) parts.push(`draw on the ${this.drawn} picture`);
    setText(this.words, parts.join(" · "));
  }

  /** Where the picture that is shown lies. @returns {Placed | null} */
  get geometry() {
    if (!this.cut) return null;
    const { first, step_mm: step } = this.cut;
    return { ...first, center_mm: moved(first.center_mm, step, this.number) };
  }

  /**
   * Shows the picture nearest to a place, with the crosshair there.
   *
   * @param {string} job
   * @param {number} id of a slice of the volume.
   * @param {PlaneCut} cut
   * @param {Vector} place
   * @param {boolean} hasMap whether the map is drawn as well.
   */
  async show(job, id, cut, place, hasMap) {
    this.#turn += 1;
    const turn = this.#turn;
    const isNew = this.cut !== cut;
    this.cut = cut;
    this.number = nearest(cut.first.center_mm, cut.step_mm, cut.count, place);
    /** @param {"picture" | "map"} what */
    const layer = (what) => picture(planeOf(job, id, cut.plane, this.number, what)).catch(() => null);
    const [shown, map] = await Promise.all([layer("picture"), hasMap ? layer("map") : null]);
    const { geometry } = this;
    if (turn !== this.#turn || !geometry || !shown) return; // the reader went on, or the server has it no more
    this.viewer.show({ picture: shown, map, pixelSize: [geometry.size_mm[0] / shown.width, geometry.size_mm[1] / shown.height] }, { keepView: !isNew });
    this.viewer.set({ crosshair: toPicture(geometry, shown, place) });
    this.sides.forEach((node, side) => setText(node, geometry.sides[side]));
    const words = `${named(cut.plane)} ${this.number + 1} / ${cut.count}`;
    this.#say();
    this.canvas.setAttribute("aria-label", `${words}, ${position(geometry)}, cut from the scored slices, not scored itself; ${sidesInWords(geometry)}`);
  }
}

export class PlanesView {
  /** @type {Case | null} */
  #one = null;
  /** Place of the slice that is shown. */
  #slice = 0;
  /** @type {Planes | null} */
  #planes = null;
  /** The case that `#planes` are of. @type {Case | null} */
  #owner = null;
  /** Where the crosshair is. @type {Vector | null} */
  #place = null;
  #on = false;

  /**
   * @param {Stage} stage shows the slices.
   * @param {(place: number) => void} go to another slice.
   */
  constructor(stage, go) {
    this.stage = stage;
    this.go = go;
    this.panes = [new Pane(), new Pane()];
    stage.on("planes", () => this.#toggle());
    stage.on("measure", () => this.#load().then(() => this.#showVolume()));
    stage.viewer.on("contour", () => this.#showVolume());
    stage.viewer.on("point", (point) => this.#point(point));
    stage.on("look", () => this.#look());
    stage.viewer.on("window", () => this.#look());
    for (const pane of this.panes) {
      pane.viewer.on("point", (point) => this.#pointIn(pane, point));
      pane.viewer.on("scroll", (by) => this.#scroll(pane, by));
      pane.canvas.addEventListener("pointerdown", () => pane.drawn && announce(`Contours are drawn on the ${pane.drawn} picture: only its slices were scored.`));
    }
    stage.viewer.on("view", () => this.#sayDrawn());
    this.#show(false);
  }

  /**
   * Follows the slices that the reader goes to.
   *
   * @param {Case | null} one
   * @param {number} slice
   */
  async follow(one, slice) {
    const isNew = this.#one !== one;
    this.#one = one;
    this.#slice = slice;
    const canCut = Boolean(one?.isVolume && one.job !== null && this.#geometry());
    this.stage.offerPlanes(canCut);
    if (isNew) this.#place = null;
    if (!canCut) this.#show(false);
    this.#showVolume();
    if (!this.#on) return;
    this.#show(canCut);
    await this.#draw();
  }

  /** Where the slice that is shown lies. @returns {Placed | null} */
  #geometry() {
    const found = this.#one?.slices[this.#slice]?.geometry;
    return found?.size_mm ? /** @type {Placed} */ (found) : null;
  }

  async #toggle() {
    this.#on = !this.#on;
    this.#show(this.#on);
    if (this.#on) await this.#draw();
  }

  /** @param {boolean} yes */
  #show(yes) {
    this.stage.showPlanes(yes, this.#on);
    const nodes = this.panes.map(({ node }) => node);
    if (yes) this.stage.views.append(...nodes.filter((node) => !node.isConnected));
    else nodes.forEach((node) => node.remove());
    if (!yes) this.stage.viewer.set({ crosshair: null });
  }

  /** Asks the service for the planes of the case, once. */
  async #load() {
    const one = this.#one;
    if (!one || one.job === null || one.slice.id === null || this.#owner === one) return;
    this.stage.sayMeasured("Cutting the volume …");
    const found = await getPlanes(one.job, one.slice.id).catch((error) => this.stage.sayMeasured(inWords(error)));
    if (!found || this.#one !== one) return;
    this.#owner = one;
    this.#planes = found;
  }

  #showVolume() {
    const found = this.#owner === this.#one ? this.#planes : null;
    if (!this.#one?.isVolume || !hasMap(this.#one)) this.stage.showVolume(null);
    else this.stage.showVolume(found ? volumeInWords(found.voxels_above[Math.floor(255 * this.stage.viewer.level)] * found.voxel_mm3) : "");
  }

  async #draw() {
    await this.#load();
    const [one, geometry, shown] = [this.#one, this.#geometry(), this.stage.viewer.picture];
    if (!this.#on || !one || one.job === null || !geometry || !shown) return;
    const found = this.#owner === one ? this.#planes : null;
    if (!found) {
      this.#on = false;
      this.#show(false);
      return;
    }
    this.#showVolume();
    const before = this.#place ? toPicture(geometry, shown, this.#place) : /** @type {[number, number]} */ ([shown.width / 2, shown.height / 2]);
    this.#place = toPatient(geometry, shown, before); // on this slice
    this.stage.viewer.set({ crosshair: before });
    const id = one.slices[0].id ?? 0;
    const cuts = found.planes.filter(({ plane }) => plane !== found.scored);
    await Promise.all(this.panes.map((pane, number) => pane.show(/** @type {string} */ (one.job), id, cuts[number], /** @type {Vector} */ (this.#place), hasMap(one))));
    this.#look();
    this.#sayDrawn();
  }

  /** Contours are drawn on the scored slices, in no other plane. */
  #sayDrawn() {
    const drawn = this.stage.viewer.pen?.isOn ? (this.#planes?.scored ?? "") : "";
    for (const pane of this.panes) if (pane.drawn !== drawn) pane.setDrawn(drawn);
  }

  /** The other planes look like the slices. */
  #look() {
    const { opacity, showContour, level, inside, inverted, bare, chosen } = this.stage.viewer;
    for (const { viewer } of this.panes) {
      viewer.set({ opacity, showContour, level, inside, inverted, bare });
      if (chosen !== viewer.chosen) viewer.setWindow(chosen);
    }
  }

  /** @param {[x: number, y: number]} point */
  #point(point) {
    const [geometry, shown] = [this.#geometry(), this.stage.viewer.picture];
    if (!this.#on || !geometry || !shown) return;
    this.#place = toPatient(geometry, shown, point);
    this.#draw();
  }

  /**
   * @param {Pane} pane
   * @param {[x: number, y: number]} point
   */
  #pointIn(pane, point) {
    const { geometry, viewer } = pane;
    if (pane.drawn) return; // the reader means to draw, and is told where
    if (geometry && viewer.picture) this.#goTo(toPatient(geometry, viewer.picture, point));
  }

  /**
   * @param {Pane} pane
   * @param {number} by pictures.
   */
  #scroll(pane, by) {
    if (pane.cut && this.#place) this.#goTo(moved(this.#place, pane.cut.step_mm, by));
  }

  /** @param {Vector} place */
  #goTo(place) {
    const one = this.#one;
    const centers = one?.slices.map(({ geometry }) => geometry?.center_mm) ?? [];
    const [start, end] = [centers[0], centers[centers.length - 1]];
    if (!one || !start || !end) return;
    const step = /** @type {Vector} */ (moved(end, start, -1).map((part) => part / (centers.length - 1)));
    const cut = this.#planes?.planes.find(({ plane }) => plane === this.#planes?.scored);
    this.#place = place;
    const slice = nearest(start, step, cut?.count ?? centers.length, place);
    if (slice === this.#slice) this.#draw();
    else this.go(slice);
  }
}
