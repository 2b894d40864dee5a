"""ImageNet weights from files: folded batch norms, torchvision names, grey input, and no network."""

import re

import numpy as np
import onnxruntime
import pytest
import torch

from brainsift.core.errors import InputError
from brainsift.images.phantom import draw
from brainsift.images.standard import standard
from brainsift.inference.bundle import load_bundle
from brainsift.training import networks, pretrained
from brainsift.training.augment import to_input

pytestmark = pytest.mark.slow  # they need `transformers`, which takes long to import


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(pretrained, "HUB_NAMES", {"mobilenet": "nobody/nothing", "resnet50": "nobody/nothing"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def folded_weights(path, seed=0):
    """Writes random weights in the order and layout of the folded file; returns the convolutions."""
    rng, pairs = np.random.default_rng(seed), pretrained._convolution_norm_pairs(networks.build("mobilenet").body)
    arrays = {}
    for index, (convolution, _) in enumerate(pairs):
        out, inner, height, width = convolution.weight.shape
        depthwise = convolution.groups > 1
        shape = (1, height, width, out) if depthwise else (out, height, width, 3 if index == 0 else inner)
        scale = np.sqrt(2 / (height * width * inner))
        arrays[f"{index:03d}_{'dw' if depthwise else 'cv'}_w"] = rng.normal(0, scale, shape).astype(np.float16)
        arrays[f"{index:03d}_b"] = rng.normal(0, 0.1, out).astype(np.float16)
    arrays["999_cv_w"], arrays["999_b"] = np.zeros((10, 1, 1, 1280), np.float16), np.zeros(10, np.float16)
    np.savez(path, **arrays)


def plain_output(model, images):
    """Runs a network as if its norms only added their folded bias."""
    return model.eval().body((images - model.mean) / model.scale)


def test_unfolded_norms_keep_the_function_in_both_modes(tmp_path):
    folded_weights(tmp_path / "weights.npz")
    images = torch.rand(8, 1, 64, 64)
    model = networks.build("mobilenet", size=64)
    said = pretrained.load(model, "mobilenet", str(tmp_path / "weights.npz"), images)
    assert said == "ImageNet weights from weights.npz"
    evaluated = plain_output(model, images)
    training = model.train().body((images - model.mean) / model.scale)
    assert torch.allclose(evaluated, training, atol=1e-3)
    assert float(evaluated.detach().std()) > 0


def test_grey_input_equals_three_equal_channels(tmp_path):
    folded_weights(tmp_path / "weights.npz")
    grey = torch.rand(4, 1, 64, 64)
    outputs = []
    for images in (grey, grey.repeat(1, 3, 1, 1)):
        model = networks.build("mobilenet", size=64, in_channels=images.shape[1])
        pretrained.load(model, "mobilenet", str(tmp_path / "weights.npz"), images)
        outputs.append(plain_output(model, images))
    assert torch.allclose(*outputs, atol=1e-3)


def torchvision_name(key):
    for pattern, replacement in (
        (r"^embedder\.embedder\.convolution", "conv1"),
        (r"^embedder\.embedder\.normalization", "bn1"),
        (r"^encoder\.stages\.(\d)\.layers\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}.{m[2]}."),
        (r"shortcut\.convolution", "downsample.0"),
        (r"shortcut\.normalization", "downsample.1"),
        (r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}"),
        (r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}"),
    ):
        key = re.sub(pattern, replacement, key)
    return key


def test_torchvision_names_are_understood(tmp_path):
    donor = networks.build("resnet50", in_channels=3)
    state = {torchvision_name(key): value for key, value in donor.body.model.state_dict().items()}
    assert "layer3.4.conv2.weight" in state
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet.pth")
    model = networks.build("resnet50", in_channels=3)
    pretrained.load(model, "resnet50", str(tmp_path / "resnet.pth"), torch.rand(2, 3, 64, 64))
    for key, value in donor.body.state_dict().items():
        assert torch.equal(model.body.state_dict()[key], value)


def test_wrong_files_are_refused(tmp_path):
    model, images = networks.build("resnet50"), torch.rand(2, 1, 64, 64)
    with pytest.raises(InputError, match="no such file"):
        pretrained.load(model, "resnet50", str(tmp_path / "none.pth"), images)
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="arrays missing"):
        pretrained.load(model, "resnet50", str(tmp_path / "other.pth"), images)


@pytest.mark.parametrize("name", ["broken.pth", "broken.npz", "broken.safetensors", "array.pth"])
def test_broken_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"these are no weights at all")
    if name.startswith("array"):
        torch.save(torch.zeros(3), tmp_path / name)
    with pytest.raises(InputError, match=rf"{re.escape(name)}: holds no weights that can be read: ."):
        pretrained.load(networks.build("mobilenet"), "mobilenet", str(tmp_path / name), torch.rand(2, 1, 64, 64))


def test_without_a_network_training_starts_from_scratch(monkeypatch):
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: False)
    said = pretrained.load(networks.build("resnet50"), "resnet50", "auto", torch.rand(2, 1, 64, 64))
    assert "from scratch" in said and "out of reach" in said
    assert (
        pretrained.load(networks.build("baseline-cnn"), "baseline-cnn", "auto", torch.rand(2, 1, 64, 64))
        == "trained from scratch"
    )


def test_compact_starts_from_the_package_without_a_network(monkeypatch):
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: pytest.fail("asked the hub"))
    model = networks.build("compact")
    before = model.state_dict()["body.model.layer.5.conv_3x3.convolution.weight"].clone()
    assert "ImageNet" in pretrained.load(model, "compact", "auto", torch.rand(2, 1, 64, 64))
    assert not torch.equal(before, model.state_dict()["body.model.layer.5.conv_3x3.convolution.weight"])
    assert pretrained.load(networks.build("compact"), "compact", "none", torch.rand(2, 1, 64, 64)) == pretrained.SCRATCH


def test_an_exported_network_is_loaded_whole(bundle_folder):
    bundle = load_bundle(bundle_folder)
    images = torch.rand(16, 1, bundle.size, bundle.size)
    session = onnxruntime.InferenceSession(str(bundle.network), providers=["CPUExecutionProvider"])
    logits, tumor_map, _ = map(torch.from_numpy, session.run(None, {"images": images.numpy()}))
    heir = networks.build("compact", size=bundle.size)
    said = pretrained.load(heir, "compact", str(bundle.network), images)
    assert said == "an exported network from network.onnx"
    with torch.no_grad():
        outputs, drawn = heir.eval().outputs(images)
    assert torch.allclose(networks.log_odds(outputs), logits, atol=5e-3)
    assert torch.allclose(drawn[:, 0], tumor_map, atol=5e-3)
    with pytest.raises(InputError, match="does not fit the network"):
        pretrained.load(networks.build("lite0", size=64), "lite0", str(bundle.network), images)


def test_the_network_that_ships_is_loaded_with_the_precision_of_its_integers():
    path = load_bundle().network
    heads = [standard(draw(seed, tumor=seed % 2 == 0).pixels, 128) for seed in range(16)]
    images = to_input(torch.from_numpy(np.stack(heads)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["logits"], {"images": images.numpy()})
    heir = networks.build("lite0-slim")
    pretrained.load(heir, "lite0-slim", str(path), images)
    with torch.no_grad():
        logits = heir.eval()(images).numpy()
    assert np.corrcoef(logits, expected)[0, 1] > 0.98
    with pytest.raises(InputError, match="does not fit the network"):
        pretrained.load(networks.build("compact", size=64), "compact", str(path), images)
