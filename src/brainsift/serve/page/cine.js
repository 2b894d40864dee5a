// @ts-check
// Plays the slices of a volume one after the other, from the start again after the last.

import { icon } from "./dom.js";

const FRAME_MS = 100;

export class Cine {
  #turn = 0;
  isPlaying = false;

  /**
   * @param {HTMLButtonElement} button
   * @param {() => Promise<void>} advance shows the next slice; the one after waits for it.
   */
  constructor(button, advance) {
    this.button = button;
    this.advance = advance;
    button.addEventListener("click", () => this.toggle());
  }

  toggle() {
    if (this.isPlaying) this.stop();
    else this.#play();
  }

  stop() {
    this.#turn += 1;
    this.#show(false);
  }

  async #play() {
    this.#turn += 1;
    const turn = this.#turn;
    this.#show(true);
    while (turn === this.#turn) {
      const pause = new Promise((resolve) => setTimeout(resolve, FRAME_MS));
      await Promise.all([this.advance(), pause]);
    }
  }

  /** @param {boolean} yes */
  #show(yes) {
    this.isPlaying = yes;
    const words = yes ? "Stop" : "Play the slices";
    this.button.setAttribute("aria-label", words);
    this.button.title = `${words} (P)`;
    this.button.replaceChildren(icon(yes ? "pause" : "play"));
  }
}
