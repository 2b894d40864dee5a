"""A bundle is written and read back whole, and says what is wrong with another."""

from dataclasses import replace

import pytest

from brainsift.core.errors import BundleError, UsageError
from brainsift.core.files import read_json
from brainsift.inference.bundle import SHIPPED, Bundle, load_bundle, write_bundle


def test_the_shipped_bundle_is_what_it_would_be_written_as():
    values = read_json(SHIPPED / "bundle.json")
    bundle = Bundle.from_json(values, SHIPPED)
    assert bundle == load_bundle() == load_bundle(str(SHIPPED))
    assert list(bundle.to_json().items()) == list(values.items())


def test_what_is_written_is_read_back(tmp_path):
    bundle = Bundle(tmp_path, "mine", "standard", 64, 1.25, {"balanced": 0.4}, provenance={"leaky": False})
    (tmp_path / "network.onnx").write_bytes(b"a network")
    write_bundle(bundle)
    assert load_bundle(tmp_path) == bundle
    assert read_json(tmp_path / "bundle.json")["schema"] == Bundle.SCHEMA
    (tmp_path / "network.onnx").unlink()
    with pytest.raises(BundleError, match="missing or altered"):
        load_bundle(tmp_path)


def test_a_share_in_percent_is_told_how_to_be_written():
    with pytest.raises(UsageError, match=r"Write 0\.97, not 97\."):
        load_bundle().threshold(97.0)
    with pytest.raises(UsageError, match=r"from 0\.5 to 0\.995"):
        load_bundle().threshold(0.9999)
    with pytest.raises(UsageError, match="Run `calibrate` with more patients"):
        replace(load_bundle(), margins={}).margin(0.05)
