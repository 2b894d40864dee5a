"""A bundle adapted to a site whose labels a wrong temperature and threshold serve badly."""

from dataclasses import replace

import numpy as np
import pytest

from brainsift import calibrate
from brainsift.bundle import Bundle, load_bundle
from brainsift.errors import ManifestError, UsageError
from brainsift.site import SiteCases, adapt


@pytest.fixture
def site(tmp_path):
    """Cases of a bundle that is three times too sure and two logits off."""
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 2, 150)
    labels = (chance.random(150) < calibrate.apply(logits, 1.0)).astype(float)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "network.onnx").write_bytes(b"a network")
    bundle = Bundle(tmp_path / "old", "compact", "standard", 64, 1.5, {"balanced": 0.5})
    return bundle, SiteCases(labels, 3 * logits + 2, np.arange(150).astype(str), patients_known=True)


def test_temperature_and_threshold_move_where_they_should(site, tmp_path):
    bundle, cases = site
    report = adapt(bundle, cases, tmp_path / "new")
    adapted = load_bundle(tmp_path / "new")
    assert adapted.temperature / bundle.temperature == pytest.approx(3, rel=0.4)
    assert adapted.thresholds["balanced"] > 0.5
    assert report.gains["brier_loss"]["high"] < 0
    assert (report.n, report.n_groups) == (150, 150)
    assert adapted.provenance["site"]["n"] == 150
    assert adapted.network.read_bytes() == bundle.network.read_bytes()


def test_too_few_images_are_refused(site, tmp_path):
    bundle, cases = site
    few = SiteCases(cases.labels[:12], cases.logits[:12], cases.groups[:12])
    with pytest.raises(ManifestError, match="at least 10"):
        adapt(bundle, few, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_fitting_bundle_gains_nothing_for_sure(site, tmp_path):
    bundle, cases = site
    chance = np.random.default_rng(1)
    labels = (chance.random(150) < calibrate.apply(cases.logits, 1.0)).astype(float)
    report = adapt(bundle, replace(cases, labels=labels), tmp_path / "same")
    assert report.gains["brier_loss"]["high"] > 0


def test_without_patients_nothing_is_promised(site, tmp_path):
    bundle, cases = site
    adapt(bundle, replace(cases, patients_known=False), tmp_path / "new")
    assert load_bundle(tmp_path / "new").margins == {}


def test_a_bundle_is_not_written_over_itself(site):
    bundle, cases = site
    with pytest.raises(UsageError, match="stays as it is"):
        adapt(bundle, cases, bundle.folder)
