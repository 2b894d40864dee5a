// The line above all: that the server is away, or what went wrong.

import { connection, isLost } from "./api.js";
import { byId, setText } from "./dom.js";
import { inWords } from "./words.js";

function show(words) {
  setText(byId("banner-words"), words);
  byId("banner").hidden = false;
}

const hide = () => {
  byId("banner").hidden = true;
};

export const fail = (error) => show(inWords(error));

/** Hides what went wrong before; that the server is away is still so. */
export const forgive = () => isLost() || hide();

export function listenToConnection() {
  connection.addEventListener("lost", () => {
    show("The server does not answer. Check that brainsift serve still runs; the page tries again by itself.");
  });
  connection.addEventListener("back", hide);
  byId("banner-close").addEventListener("click", hide);
}
