// The window: which values of a picture are black, which are white.
import assert from "node:assert/strict";
import { test } from "node:test";

import { bounded, dragged, rangeOf, shadesOf } from "../../src/brainsift/serve/page/window.js";

const PLAIN = { most: 255, values: [0, 1], window: { width: 1, level: 0.5 } };
const DEEP = { most: 65535, values: [0, 4095], window: { width: 2000, level: 1000 } };
const INVERTED = { ...DEEP, values: [4095, 0] };

test("8 bits are shares, 16 bits have the units of the file", () => {
  assert.equal(rangeOf(PLAIN).inWords(0.5), "50\u00a0%");
  assert.equal(rangeOf(DEEP).inWords(2048.2), "2048");
  assert.deepEqual([INVERTED, DEEP].map((picture) => [rangeOf(picture).low, rangeOf(picture).span]), [[0, 4095], [0, 4095]]);
});

test("the first window of 8 bits changes nothing", () => {
  assert.deepEqual([...shadesOf(PLAIN, PLAIN.window)], Array.from({ length: 256 }, (_, gray) => gray));
});

test("a window clips, and is inverted where the file is", () => {
  const shades = shadesOf(DEEP, DEEP.window);
  assert.deepEqual([shades[0], shades[16004], shades[32009], shades[65535]], [0, 128, 255, 255]);
  const inverted = shadesOf(INVERTED, DEEP.window);
  for (const gray of [0, 20000, 65535]) assert.equal(inverted[65535 - gray], 255 - shades[gray]);
});

test("a window stays within the range, one that is beyond it goes no further", () => {
  assert.deepEqual(bounded({ width: 0, level: 5000 }, DEEP, DEEP.window), { width: 4.095, level: 4095 });
  assert.deepEqual(bounded({ width: 9000, level: -5 }, DEEP, DEEP.window), { width: 8190, level: 0 });
  const beyond = { width: 20000, level: 6000 };
  assert.deepEqual(bounded({ width: 30000, level: 7000 }, DEEP, beyond), beyond);
  assert.deepEqual(bounded({ width: 15000, level: 5500 }, DEEP, beyond), { width: 15000, level: 5500 });
  const narrow = { width: 1, level: -10 };
  assert.deepEqual(bounded({ width: 2, level: -5 }, DEEP, narrow), { width: 2, level: -5 });
  assert.deepEqual(bounded({ width: 0.5, level: -20 }, DEEP, narrow), narrow);
});

test("300 pixels to the right double the window; a narrow one of 16 bits moves more finely", () => {
  assert.deepEqual(dragged(PLAIN.window, PLAIN, 300, -30), { width: 2, level: 0.4 });
  assert.deepEqual(dragged({ width: 500, level: 1000 }, DEEP, 300, 0), { width: 1000, level: 1000 });
  assert.deepEqual(dragged({ width: 1, level: 1000 }, DEEP, 300, 0), { width: 201, level: 1000 });
  assert.deepEqual(dragged({ width: 0.1, level: 0.5 }, PLAIN, 150, 0), { width: 0.6, level: 0.5 });
});
