// @ts-check
// The line above all: that the server is away, or what went wrong.

import { connection, isLost } from "./api.js";
import { byId, setText } from "./dom.js";
import { inWords } from "./words.js";

/** @param {string} words */
function show(words) {
  setText(byId("banner-words"), words);
  byId("banner").hidden = false;
}

const hide = () => {
  byId("banner").hidden = true;
};

/**
 * Shows what went wrong.
 *
 * @param {unknown} error
 */
export const fail = (error) => show(inWords(error));

/** Hides what went wrong before; that the server is away is still so. */
export const forgive = () => isLost() || hide();

/** Shows when the server is lost, and hides it when it is back. */
export function listenToConnection() {
  connection.on("lost", () => {
    show("The server does not answer. Check that brainsift serve is still running. The page tries again by itself.");
  });
  connection.on("back", hide);
  byId("banner-close").addEventListener("click", hide);
}
