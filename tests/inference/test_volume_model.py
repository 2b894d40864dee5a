"""The calibrated probability of a volume, its states in words, and bundles with and without it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainsift.core.errors import BundleError
from brainsift.core.files import read_json, write_json
from brainsift.core.reasons import Reason
from brainsift.inference.bundle import Bundle, load_bundle, write_bundle
from brainsift.inference.decision import Prediction, Rule, expit, make_rule
from brainsift.inference.volume_decision import FINDINGS, VolumePrediction, summarise_volume
from brainsift.inference.volume_model import VolumeModel, largest_mean

MODEL = VolumeModel(1.3, -2.0, {"balanced": 0.7, "screening": 0.1, "confirm": 0.9, "even": 0.5}, 0.35, [[0.5, 0.9]])
RULE = Rule(0.45, volume_threshold=0.7, volume_suspicion=0.35, volume_model=MODEL)
HEALTHY, TUMOR, BRIGHT = -2.5, 3.5, 6.0
LOGITS = st.floats(-8, 8)


def slices(*logits, status="ok"):
    return [Prediction(f"v#{n}", status, one, "refer", volume="v") for n, one in enumerate(logits, start=1)]


def series(length, **logits):
    """Healthy slices, of which some have another logit, by their number."""
    values = [HEALTHY] * length
    for name, logit in logits.items():
        values[int(name[1:]) - 1] = logit
    return summarise_volume(slices(*values), RULE)


def test_one_bright_false_alarm_among_a_hundred_healthy_slices_makes_no_tumor():
    one = series(100, n40=BRIGHT)
    assert expit(BRIGHT) > 0.99
    assert (one.decision, one.state, one.finding) == ("no_tumor", "no_tumor", "no tumor found")
    assert one.suspicious[0] == "v#40"


def test_a_tumor_in_four_of_thirty_slices_is_one():
    one = series(30, n12=TUMOR, n13=TUMOR, n14=TUMOR, n15=TUMOR)
    assert (one.decision, one.finding, one.adjacent) == ("tumor", "tumor", (12, 13, 14))


def test_between_suspicion_and_threshold_a_volume_says_where_to_look():
    one = series(30, n20=1.4, n21=1.6, n22=1.5)
    assert 0.35 <= one.probability < 0.7
    assert (one.decision, one.state) == ("no_tumor", "suspicious")
    assert one.finding == one.to_dict()["finding"] == "suspicious, look at slices 20, 21, 22"
    assert {state: one.in_words(state) for state in FINDINGS}["no_tumor"] == "no tumor found"


def test_suspicion_and_threshold_themselves_are_reached():
    at = summarise_volume(slices(1.5, 1.5, 1.5), RULE).probability
    states = []
    for threshold, suspicion in ((at, 0.1), (np.nextafter(at, 1), at), (0.9, np.nextafter(at, 1))):
        rule = replace(RULE, volume_threshold=threshold, volume_suspicion=suspicion)
        states.append(summarise_volume(slices(1.5, 1.5, 1.5), rule).state)
    assert states == ["tumor", "suspicious", "no_tumor"]


@given(st.lists(LOGITS, min_size=2, max_size=12), st.data())
def test_a_larger_logit_never_makes_a_volume_less_likely_a_tumor(logits, data):
    place = data.draw(st.integers(0, len(logits) - 1))
    more = [*logits[:place], logits[place] + data.draw(st.floats(0, 5)), *logits[place + 1 :]]
    before, after = (summarise_volume(slices(*one), RULE).probability for one in (logits, more))
    assert after >= before - 1e-12
    far = [logit + 1 for logit in logits]
    assert summarise_volume(slices(*far), RULE).probability > before


def test_the_probability_is_that_of_the_line_on_the_largest_mean_logit():
    one = summarise_volume(slices(0.0, 1.0, 2.0, 3.0, -1.0), RULE)
    assert one.probability == pytest.approx(expit(1.3 * 2.0 - 2.0), abs=1e-15)
    assert one.probability != pytest.approx(np.mean([expit(1.0), expit(2.0), expit(3.0)]), abs=1e-3)
    assert largest_mean([2.0, 4.0]) == (3.0, 0)


def test_what_was_not_scored_is_a_gap_and_numbers_count_all_slices():
    gap = [Prediction("u", "unreadable", None, "", Reason.BROKEN_FILE, volume="v")]
    rejected = slices(BRIGHT, status="not_brain_mri")
    one = summarise_volume(slices(HEALTHY, TUMOR) + gap + slices(TUMOR) + rejected + slices(TUMOR, HEALTHY), RULE)
    assert (one.decision, one.adjacent, one.n_scored) == ("tumor", (2, 4, 6), 5)
    whole = summarise_volume(slices(HEALTHY, TUMOR, TUMOR, TUMOR, HEALTHY), RULE)
    assert one.probability == whole.probability


def test_few_slices_are_referred_with_their_probability_and_none_has_none():
    unread = [Prediction(f"u{n}", "unreadable", None, "", Reason.BROKEN_FILE, volume="v") for n in range(9)]
    few = summarise_volume(slices(TUMOR, TUMOR) + unread, RULE)
    assert (few.decision, few.reason, few.finding) == ("refer", Reason.TOO_FEW_SLICES, "refer to a human")
    assert few.probability == expit(MODEL.log_odds(TUMOR)) and few.adjacent == (1, 2)
    none = summarise_volume(unread, RULE)
    assert (none.probability, none.state, none.adjacent) == (None, "refer", ())


def test_one_slice_is_decided_as_an_image_is():
    one = summarise_volume(slices(0.0), RULE)
    assert (one.probability, one.decision, one.threshold, one.state) == (0.5, "tumor", 0.45, "tumor")
    low = summarise_volume(slices(-0.3), RULE)
    assert (low.decision, low.state) == ("no_tumor", "no_tumor")


def test_with_a_margin_what_is_near_even_odds_is_referred():
    near = summarise_volume(slices(1.5, 1.5, 1.5), replace(RULE, margin=0.5))
    assert (near.decision, near.reason, near.state) == ("refer", Reason.UNSURE, "refer")


def test_a_prediction_is_read_back_with_its_state():
    one = series(30, n20=1.4, n21=1.6, n22=1.5)
    again = VolumePrediction.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    assert again == one and again.finding == one.finding


def test_a_bundle_keeps_what_decides_volumes(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"a network")
    bundle = Bundle(tmp_path, "mine", "standard", 64, 1.25, {"balanced": 0.4, "even": 0.5}, volumes=MODEL)
    write_bundle(bundle)
    assert load_bundle(tmp_path) == bundle
    rule = make_rule(load_bundle(tmp_path))
    assert rule == Rule(0.4, 0.0, 0.9, 0.35, MODEL)
    assert make_rule(bundle, threshold="even").of_volumes.threshold == 0.5
    assert replace(bundle, sensitivities=[[0.5, 0.2]]).volume_threshold(0.5) == 0.9
    assert bundle.threshold_name(0.7) == "balanced" and bundle.threshold_name(0.71) == "as set"


@pytest.mark.parametrize("slope", [0.0, -1.0, None, "steep"])
def test_a_bundle_that_says_wrongly_how_volumes_are_decided_is_not_loaded(tmp_path, slope):
    (tmp_path / "network.onnx").write_bytes(b"a network")
    write_bundle(Bundle(tmp_path, "mine", "standard", 64, 1.0, {"balanced": 0.4}, volumes=MODEL))
    values = read_json(tmp_path / "bundle.json")
    values["volumes"]["slope"] = slope
    write_json(tmp_path / "bundle.json", values)
    with pytest.raises(BundleError, match="how volumes are decided"):
        load_bundle(tmp_path)


def test_an_older_bundle_decides_volumes_by_the_mean_probability(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"a network")
    limits = {"balanced": 0.4, "confirm": 0.9, "even": 0.5}
    write_bundle(Bundle(tmp_path, "mine", "standard", 64, 1.0, limits))
    values = read_json(tmp_path / "bundle.json")
    del values["volumes"]
    write_json(tmp_path / "bundle.json", {**values, "schema": 2})
    bundle = load_bundle(tmp_path)
    assert bundle.volumes is None and "not calibrated" in bundle.volumes_in_words
    rule = make_rule(bundle)
    one = summarise_volume(slices(HEALTHY, 1.0, 2.0, 1.5, HEALTHY), rule)
    assert one.probability == pytest.approx(np.mean([expit(1.0), expit(2.0), expit(1.5)]), abs=1e-12)
    assert (one.threshold, one.decision, one.finding) == (0.9, "no_tumor", "suspicious, look at slices 2, 3, 4")
    write_json(tmp_path / "bundle.json", {**values, "schema": 1, "volumes": None})
    with pytest.raises(BundleError, match="another version"):
        load_bundle(tmp_path)


def test_a_stretch_undoes_another_temperature():
    scale = 1.7
    site = replace(RULE, volume_model=replace(MODEL, stretch=scale))
    logits = [HEALTHY, 1.0, 2.0, 3.0, HEALTHY]
    own = summarise_volume(slices(*logits), RULE)
    assert summarise_volume(slices(*(one / scale for one in logits)), site).probability == pytest.approx(
        own.probability, abs=1e-12
    )
