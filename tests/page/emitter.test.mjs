// Events with a typed detail.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Emitter } from "../../src/brainsift/serve/page/emitter.js";

test("listeners of an event get its detail, in their order; those of another do not", () => {
  const [emitter, heard] = [new Emitter(), []];
  emitter.on("go", (place) => heard.push(["first", place]));
  emitter.on("stop", () => heard.push("stop"));
  emitter.on("go", (place) => heard.push(["second", place]));
  emitter.emit("go", 3);
  emitter.emit("nothing", null);
  assert.deepEqual(heard, [["first", 3], ["second", 3]]);
});
