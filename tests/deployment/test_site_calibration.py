"""A bundle adapted to a site whose labels a wrong temperature and threshold serve badly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainsift.core.errors import ManifestError, UsageError
from brainsift.deployment.site_calibration import SiteCases, adapt, read_cases
from brainsift.images.phantom import draw
from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.inference.decision import Prediction, log_odds, make_rule
from brainsift.inference.volume_decision import summarise_volume
from brainsift.inference.volume_model import VolumeModel
from brainsift.stats import calibration


@pytest.fixture
def site(tmp_path):
    """Cases of a bundle that is three times too sure and two logits off."""
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 2, 150)
    labels = (chance.random(150) < calibration.apply(logits, 1.0)).astype(float)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "network.onnx").write_bytes(b"a network")
    bundle = Bundle(tmp_path / "old", "compact", "standard", 64, 1.5, {"balanced": 0.5})
    return bundle, SiteCases(labels, 3 * logits + 2, np.arange(150).astype(str), patients_known=True)


@pytest.mark.slow
def test_temperature_and_threshold_move_where_they_should(site, tmp_path):
    bundle, cases = site
    report = adapt(bundle, cases, tmp_path / "new")
    adapted = load_bundle(tmp_path / "new")
    assert adapted.temperature / bundle.temperature == pytest.approx(3, rel=0.4)
    assert adapted.thresholds["balanced"] > 0.5
    assert report.gains["brier_loss"].difference.high < 0
    assert (report.n, report.n_groups) == (150, 150)
    assert adapted.provenance["site"]["n"] == 150
    assert adapted.network.read_bytes() == bundle.network.read_bytes()


def test_too_few_images_are_refused(site, tmp_path):
    bundle, cases = site
    few = SiteCases(cases.labels[:12], cases.logits[:12], cases.groups[:12])
    with pytest.raises(ManifestError, match="at least 10"):
        adapt(bundle, few, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("n_patients", [2, 3])
def test_few_patients_give_fewer_folds(site, tmp_path, n_patients):
    bundle, cases = site
    few = replace(cases, groups=(np.arange(150) % n_patients).astype(str))
    assert adapt(bundle, few, tmp_path / "new").n_groups == n_patients
    with pytest.raises(ManifestError, match="one patient"):
        adapt(bundle, replace(cases, groups=np.zeros(150).astype(str)), tmp_path / "one")


@pytest.mark.slow
def test_confirm_never_falls_below_that_of_the_bundle(site, tmp_path):
    bundle, cases = site
    labels = (cases.logits > 2).astype(float)  # told apart without an error
    strict = replace(bundle, thresholds={"balanced": 0.5, "confirm": 0.999})
    adapt(strict, replace(cases, labels=labels), tmp_path / "new")
    adapted = load_bundle(tmp_path / "new")
    kept = log_odds(0.999) * bundle.temperature / adapted.temperature
    assert log_odds(adapted.thresholds["confirm"]) == pytest.approx(kept)
    assert adapted.thresholds["screening"] <= adapted.thresholds["balanced"] < adapted.thresholds["confirm"]


def test_what_the_bundle_refuses_teaches_nothing(tmp_path):
    head, blank = draw(5, tumor=True, size=128).pixels, np.zeros((128, 128), np.uint8)
    rows = []
    for name, pixels in (("head", head), ("blank", blank)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        rows.append({"path": str(tmp_path / f"{name}.png"), "channel": "", "label": 1.0, "patient": ""})
    rows.append({**rows[0], "path": str(tmp_path / "none.png")})
    rows.append(dict(rows[0]))  # listed twice, it counts once
    cases = read_cases(load_bundle(), pd.DataFrame(rows))
    assert len(cases.labels) == 1
    assert [Path(path).name for path, _ in cases.left_out] == ["blank.png", "none.png"]
    assert "no such file" in cases.left_out[1][1]


@pytest.mark.slow
def test_a_fitting_bundle_gains_nothing_for_sure(site, tmp_path):
    bundle, cases = site
    chance = np.random.default_rng(1)
    labels = (chance.random(150) < calibration.apply(cases.logits, 1.0)).astype(float)
    report = adapt(bundle, replace(cases, labels=labels), tmp_path / "same")
    assert report.gains["brier_loss"].difference.high > 0


def test_without_patients_nothing_is_promised(site, tmp_path):
    bundle, cases = site
    assert adapt(bundle, replace(cases, patients_known=False), tmp_path / "new").promises == ()
    with pytest.raises(UsageError, match="the patient of each image"):
        load_bundle(tmp_path / "new").margin(0.05)


def test_a_bundle_is_not_written_over_itself(site):
    bundle, cases = site
    with pytest.raises(UsageError, match="stays as it is"):
        adapt(bundle, cases, bundle.folder)


@pytest.mark.slow
def test_volumes_keep_their_result(site, tmp_path):
    bundle, cases = site
    model = VolumeModel(1.3, -2.0, {"balanced": 0.7, "screening": 0.1, "confirm": 0.9, "even": 0.5}, 0.3)
    before = replace(bundle, volumes=model)
    adapt(before, cases, tmp_path / "new")
    after = load_bundle(tmp_path / "new")
    assert after.temperature != before.temperature and after.volumes.thresholds == model.thresholds
    told = []
    for one in (before, after):
        logits = np.array([-3.0, 1.0, 4.0, 5.0, 4.5, -2.0]) / one.temperature  # of the network, before its temperature
        slices = [Prediction(str(n), "ok", float(logit), "refer", volume="v") for n, logit in enumerate(logits)]
        told.append(summarise_volume(slices, make_rule(one)))
    assert told[0].probability == pytest.approx(told[1].probability, abs=1e-12)
    assert (told[0].finding, told[0].threshold) == (told[1].finding, told[1].threshold)
