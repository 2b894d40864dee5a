"""Numbers that must not drift: the input of the network and its logits on drawn heads, pinned in golden.json.

Where they are meant to change, so do `standard.VERSION` and the network that ships; then
`python tests/inference/test_golden.py` writes the file again.
"""

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import pytest

from brainsift.images import standard
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor

FILE = Path(__file__).with_name("golden.json")
_BLOCK = 32


def heads():
    """Draws eight heads of several contrasts and sizes, half of them with a tumor."""
    return [draw(seed, tumor=seed % 2 == 0, size=96 + 32 * (seed % 3)).pixels for seed in range(8)]


def block_means(pixels):
    """Returns the mean grey level of each block of an image."""
    height, width = (side // _BLOCK for side in pixels.shape)
    return pixels.reshape(height, _BLOCK, width, _BLOCK).mean(axis=(1, 3)).round(3).tolist()


def measured():
    """Returns what golden.json holds, as it is on this machine."""
    inputs = [standard.standard(pixels, 128) for pixels in heads()]
    predictor = Predictor(threads=1)
    found = [predictor.score(pixels) for pixels in heads()]
    return {
        "intensity": standard.VERSION,
        "network_sha256": hashlib.sha256(load_bundle().network.read_bytes()).hexdigest(),
        "head_block_means": list(map(block_means, heads())),
        "inputs_sha256": hashlib.sha256(b"".join(one.tobytes() for one in inputs)).hexdigest(),
        "block_means": list(map(block_means, inputs)),
        "logits": [round(one.logit, 6) for one in found],
        "decisions": [one.decision for one in found],
    }


@pytest.fixture(scope="module")
def pinned():
    return json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def now():
    return measured()


def test_they_are_pinned_for_this_version_and_this_network(pinned, now):
    for name in ("intensity", "network_sha256"):
        assert now[name] == pinned[name]
    # Of 255 grey levels: processors round a sine differently.
    for own, other in zip(now["head_block_means"], pinned["head_block_means"], strict=True):
        np.testing.assert_allclose(own, other, atol=0.05)


def test_the_input_of_the_network_does_not_drift(pinned, now):
    np.testing.assert_allclose(now["block_means"], pinned["block_means"], atol=0.05)  # of 255 grey levels
    if platform.machine() in ("x86_64", "AMD64"):  # others may round a pixel the other way
        assert now["inputs_sha256"] == pinned["inputs_sha256"]


def test_logits_and_decisions_do_not_drift(pinned, now):
    np.testing.assert_allclose(now["logits"], pinned["logits"], atol=0.05)  # in INT8 a rounding may go the other way
    assert now["decisions"] == pinned["decisions"] and {"tumor", "no_tumor"} <= set(now["decisions"])


if __name__ == "__main__":
    FILE.write_text(json.dumps(measured(), indent=1) + "\n")
