"""A volume counts all its slices, and is referred where too few of them could be scored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainsift.core.reasons import Reason
from brainsift.inference.decision import Prediction, Rule, log_odds
from brainsift.inference.volume_decision import VOLUME_COLUMNS, NearlyEmptyEnds, summarise_volume, summarise_volumes
from brainsift.volumes.slices import NEARLY_EMPTY

RULE = Rule(0.4, volume_threshold=0.5)


def scored(count, probability=0.2, **more):
    return [Prediction(f"v#{n}", "ok", log_odds(probability), "no_tumor", volume="v", **more) for n in range(count)]


def unreadable(count):
    return [Prediction(f"u#{n}", "unreadable", None, "", Reason.BROKEN_FILE, volume="v") for n in range(count)]


def rejected(count, code=Reason.OUT_OF_DISTRIBUTION):
    return [Prediction(f"r#{n}", "not_brain_mri", 1.0, "refer", code, volume="v") for n in range(count)]


def empty(count):
    return rejected(count, Reason.HARDLY_ANY_HEAD)


@pytest.mark.parametrize(
    ("slices", "reason"),
    [
        (scored(1) + unreadable(99), Reason.TOO_FEW_SLICES),
        (scored(1) + rejected(99), Reason.TOO_FEW_SLICES),
        (scored(49) + unreadable(51), Reason.TOO_FEW_SLICES),
        (scored(50) + unreadable(50), Reason.NONE),
        (scored(2) + unreadable(2), Reason.TOO_FEW_SLICES),  # fewer than three of a longer series
        (scored(3) + unreadable(1), Reason.NONE),
        (scored(1) + unreadable(2), Reason.TOO_FEW_SLICES),
        (scored(2) + unreadable(1), Reason.NONE),
        (scored(1) + unreadable(1), Reason.NONE),
        (scored(10) + empty(90), Reason.NONE),  # the nearly empty ends do not count
        (scored(10) + empty(80) + rejected(11), Reason.TOO_FEW_SLICES),
        (scored(1), Reason.NONE),
        (scored(2), Reason.NONE),
        (empty(4), Reason.NO_USABLE_SLICE),
        (unreadable(3), Reason.NO_USABLE_SLICE),
    ],
)
def test_a_volume_of_few_slices_is_referred_with_the_counts(slices, reason):
    one = summarise_volume(slices, RULE)
    assert one.reason is reason
    assert one.decision == ("no_tumor" if reason is Reason.NONE else "refer")
    assert one.n_slices == len(slices) == one.n_scored + one.n_not_brain_mri + one.n_unreadable
    assert one.n_unreadable == sum(slice_.status == "unreadable" for slice_ in slices)
    assert bool(one.detail) == (reason is not Reason.NONE)


def test_a_suspicious_slice_alone_decides_no_volume_either():
    one = summarise_volume(scored(1, 0.99) + unreadable(99), RULE)
    assert (one.decision, one.suspicious) == ("refer", ("v#0",)) and one.probability == pytest.approx(0.99)
    assert one.detail == "only 1 of 100 slices with some of the head could be scored"


def test_notes_on_the_slices_are_told_once():
    slices = scored(4, note="the first of 2 volumes") + scored(3, note="2 slices are missing here") + scored(1)
    assert summarise_volume(slices, RULE).detail == "the first of 2 volumes; 2 slices are missing here"
    assert summarise_volume(slices[:1] + unreadable(9), RULE).detail.endswith("could be scored; the first of 2 volumes")


def test_what_is_not_sure_enough_has_its_code():
    one = summarise_volume(scored(5), Rule(0.5, margin=3))
    assert (one.decision, one.reason) == ("refer", Reason.UNSURE) and "not sure enough" in one.detail


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=9))
def test_the_mean_is_of_exact_numbers_and_a_row_is_rounded(probabilities):
    slices = [Prediction(f"{p}", "ok", log_odds(p), "tumor", volume="v") for p in probabilities]
    one = summarise_volume(slices, RULE)
    best = max(np.mean(probabilities[n : n + 3]) for n in range(max(len(probabilities) - 2, 1)))
    assert one.probability == pytest.approx(best, abs=1e-12)
    row = one.to_dict()
    assert tuple(row) == VOLUME_COLUMNS and row["probability"] == round(one.probability, 6)


def test_volumes_come_apart_and_plain_images_are_left_out():
    other = [Prediction("w#1", "ok", 3.0, "tumor", volume="w")]
    plain = [Prediction("a.png", "ok", 3.0, "tumor")]
    found = summarise_volumes(scored(2) + plain + other + scored(1), RULE)
    assert [(one.volume, one.n_slices) for one in found] == [("v", 2), ("w", 1), ("v", 1)]
    assert [one.decision for one in found] == ["no_tumor", "tumor", "no_tumor"]


def test_the_ends_of_a_volume_are_referred_when_it_is_complete():
    ends, head, dark = NearlyEmptyEnds(), np.full((8, 8), 9, np.float32), np.zeros((8, 8), np.float32)
    dark[0, 0] = 9
    (plain,) = [Prediction("a.png", "ok", 1.0, "tumor")]
    assert ends.add(plain, None) == [plain]
    slices = [*scored(4), *unreadable(1)]
    for one, coarse in zip(slices, [dark, head, dark, dark, None], strict=True):
        assert ends.add(one, coarse) == []
    *found, last = ends.add(plain, None)
    assert last is plain
    assert [one.reason for one in found] == [
        Reason.HARDLY_ANY_HEAD,
        Reason.NONE,
        Reason.HARDLY_ANY_HEAD,
        Reason.HARDLY_ANY_HEAD,
        Reason.BROKEN_FILE,
    ]
    assert found[0].detail == NEARLY_EMPTY.words and found[0].status == "not_brain_mri"
    assert ends.finish() == []
