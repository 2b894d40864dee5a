// Which lines of a long list are in the document.
import assert from "node:assert/strict";
import { test } from "node:test";

import { spansInView } from "../../src/brainsift/serve/page/inview.js";

const LONG = { count: 5000, pitch: 40, height: 400 };
const lines = (spans) => spans.reduce((sum, [from, to]) => sum + to - from, 0);

test("what is in view, and half as much above and below", () => {
  assert.deepEqual(spansInView({ ...LONG, top: 0 }), [[0, 15]]);
  assert.deepEqual(spansInView({ ...LONG, top: 4000 }), [[95, 115]]);
  assert.deepEqual(spansInView({ ...LONG, top: -200 }), [[0, 15]]);
});

test("each place of the list is drawn where it is looked at, and never many lines", () => {
  for (let top = -80; top <= 5000 * 40; top += 333) {
    const spans = spansInView({ ...LONG, top }, [7, 4999]);
    const first = Math.min(Math.max(Math.floor(top / 40), 0), 4990);
    assert.ok(spans.some(([from, to]) => from <= first && to >= Math.min(first + 10, 5000)), String(top));
    assert.ok(lines(spans) <= 32);
  }
});

test("a list that became shorter than it is scrolled shows its end", () => {
  assert.deepEqual(spansInView({ count: 12, pitch: 40, top: 90_000, height: 400 }), [[0, 12]]);
  assert.deepEqual(spansInView({ count: 100, pitch: 40, top: 90_000, height: 400 }), [[85, 100]]);
  assert.deepEqual(spansInView({ count: 0, pitch: 40, top: 500, height: 400 }), []);
});

test("lines that stay have their neighbors, and none is drawn twice", () => {
  assert.deepEqual(spansInView({ ...LONG, top: 0 }, [14, 300, 301, 4999]), [[0, 16], [299, 303], [4998, 5000]]);
  assert.deepEqual(spansInView({ ...LONG, top: 0 }, [0]), [[0, 15]]);
});

test("a list that is hidden keeps a few lines", () => {
  assert.deepEqual(spansInView({ ...LONG, top: 0, height: 0 }), [[0, 4]]);
});
