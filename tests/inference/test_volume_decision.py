"""A volume counts all its slices, and is referred where too few of them could be scored."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brainsift.core.reasons import Reason
from brainsift.images.phantom import draw
from brainsift.inference.decision import Prediction, Rule, log_odds
from brainsift.inference.predictor import Predictor, predict_volume
from brainsift.inference.volume_decision import VOLUME_COLUMNS, NearlyEmptyEnds, summarise_volume, summarise_volumes
from brainsift.volumes.slices import NEARLY_EMPTY

RULE = Rule(0.4, volume_threshold=0.5)


def scored(count, probability=0.2, **more):
    return [Prediction(f"v#{n}", "ok", log_odds(probability), "no_tumor", volume="v", **more) for n in range(count)]


def unreadable(count):
    return [Prediction(f"u#{n}", "unreadable", None, "", Reason.BROKEN_FILE, volume="v") for n in range(count)]


def rejected(count, code=Reason.OUT_OF_DISTRIBUTION):
    return [Prediction(f"r#{n}", "not_brain_mri", 1.0, "refer", code, volume="v") for n in range(count)]


def empty(count, code=Reason.HARDLY_ANY_HEAD):
    return [replace(one, nearly_empty=True) for one in rejected(count, code)]


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
        (scored(10) + empty(90, Reason.BLANK), Reason.NONE),  # whichever rule refused them first
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


@pytest.mark.parametrize("kind", ["nii", "tif"])
def test_blank_ends_refer_no_volume(tmp_path, kind):
    heads = [draw(seed, tumor=False, size=96).pixels for seed in range(4)]
    blank = [np.zeros_like(heads[0])] * 4
    path = tmp_path / f"a.{kind}"
    if kind == "nii":
        stack = np.stack([*blank, *heads, *blank]).transpose(2, 1, 0)[:, ::-1, ::-1]
        nibabel.Nifti1Image(stack.astype(np.int16), np.eye(4)).to_filename(path)
    else:
        first, *others = map(Image.fromarray, [*blank, *heads, *blank])
        first.save(path, save_all=True, append_images=others)
    predictor = Predictor(threads=1)
    one, alone = predict_volume(path, predictor=predictor), [predictor.score(pixels) for pixels in heads]
    assert [slice_.reason for slice_ in one.slices] == [Reason.BLANK] * 4 + [Reason.NONE] * 4 + [Reason.BLANK] * 4
    assert {slice_.detail.partition(":")[0] for slice_ in one.slices[:4]} == {"blank"}
    assert all(slice_.status == "ok" for slice_ in alone)
    assert (one.n_slices, one.n_scored, one.n_not_brain_mri) == (12, 4, 8)
    assert one.reason is Reason.NONE and one.decision != "refer"


def test_what_the_header_refuses_counts_at_the_ends_too():
    head, dark = np.full((8, 8), 9, np.float32), np.zeros((8, 8), np.float32)
    dark[0, 0] = 9
    codes = (Reason.OTHER_MODALITY, Reason.OTHER_BODY_PART, Reason.SEVERAL_IMAGES, Reason.NO_BACKGROUND)
    ends = NearlyEmptyEnds()
    for one, coarse in [*((rejected(1, code)[0], dark) for code in codes), *((one, head) for one in scored(3))]:
        assert ends.add(one, coarse) == []
    found = ends.finish()
    assert [one.nearly_empty for one in found] == [False] * 3 + [True] + [False] * 3
    assert [one.reason for one in found[:4]] == list(codes)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 5))
def test_a_volume_at_the_threshold_is_tumor(probability, count):
    slices = scored(count, probability)
    exact = slices[0].probability
    for threshold, decision in ((exact, "tumor"), (np.nextafter(exact, 1), "no_tumor")):
        one = summarise_volume(slices, Rule(threshold))
        assert (one.probability, one.decision) == (exact, decision)
