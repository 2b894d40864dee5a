// Verdicts against decisions.

import assert from "node:assert/strict";
import test from "node:test";

import { compare, sensitivity, specificity, wilson } from "../../src/brainsift/serve/page/agreement.js";

const one = (verdict, decision, status = "ok") => ({ status, verdict, decision });

test("verdicts are counted against decisions, and what has none beside them", () => {
  const cases = [
    one("tumor", "tumor"), one("tumor", "tumor"), one("tumor", "no_tumor"), one("no_tumor", "tumor"), one("no_tumor", "no_tumor"),
    one("tumor", "refer"), one("no_tumor", "not_brain_mri", "not_brain_mri"), one("unsure", "tumor"), one("not_brain_mri", "tumor"),
    one(null, "tumor"), one(null, "unreadable", "unreadable"), one("unsure", "unreadable", "unreadable"),
  ];
  const found = compare(cases);
  assert.deepEqual(found, {
    total: 10, judged: 9, onTumor: { tumor: 2, no_tumor: 1 }, onNone: { tumor: 1, no_tumor: 1 }, referred: 1, rejected: 1, others: 2,
  });
  assert.equal(sensitivity(found)?.value, 2 / 3);
  assert.equal(specificity(found)?.value, 1 / 2);
});

test("without a case there is no share", () => {
  assert.equal(wilson(0, 0), null);
  assert.equal(sensitivity(compare([one("no_tumor", "tumor")])), null);
});

test("a group counts as many times as it has cases", () => {
  const found = compare([{ ...one("tumor", "tumor"), count: 7 }, { ...one("no_tumor", "tumor"), count: 2 }, { ...one(null, "tumor"), count: 5 }, { ...one("unsure", "refer"), count: 3 }]);
  assert.deepEqual([found.total, found.judged, found.onTumor.tumor, found.onNone.tumor, found.others], [17, 12, 7, 2, 3]);
});
