// What stands below a print.

import assert from "node:assert/strict";
import test from "node:test";

import { originInWords } from "../../src/brainsift/serve/page/print.js";

const model = { name: "lite0", version: "0.1.0", network_sha256: "4d5d38aa23def8c0", notice: "Research use only." };
const when = new Date(2026, 2, 2, 9, 30);

test("a print says rule, thresholds, network, version, and the date with its zone", () => {
  const words = originInWords(model, { choice: {}, threshold: 0.556, volumeThreshold: 0.967, margin: 0, query: {} }, null, when);
  assert.match(words, /^Network lite0 4d5d38aa23de, brainsift 0\.1\.0\. Rule default: threshold 0\.556, for volumes 0\.967, margin 0\.00\. /);
  assert.match(words, /Printed 2026-03-02T09:30:00[+-]\d\d:\d\d\. Research use only\.$/);
});

test("a case of the history says what decided it then", () => {
  const kept = { record: { model: "old 0.0.9", created: "2025-01-01T00:00:00Z" }, rule: { threshold: 0.8, margin: 0.5 } };
  assert.match(originInWords(model, { choice: {}, threshold: 0.5, margin: 0, query: {} }, kept, when), /^Network and version old 0\.0\.9, threshold 0\.800, margin 0\.50, scored 2025-01-01T00:00:00Z\. Printed /);
});
