"""Pruning keeps the channels from which the output of a block can be told."""

import pytest
import torch
from torch import nn

from brainsift.core.errors import InputError
from brainsift.training import networks, pretrained, pruning

HALF = [16, 48, 72]


@pytest.fixture
def trunk():
    """The stem and the first three blocks of lite0, with statistics of batch norms that training would leave."""
    torch.manual_seed(0)
    model = networks.build("lite0", size=64).body.model
    model._blocks = model._blocks[:3]
    whole = nn.Sequential(model._conv_stem, model._bn0, model._swish, *model._blocks)
    whole.train()
    for _ in range(50):
        whole(torch.rand(8, 1, 64, 64))
    return model, whole.eval()


@torch.no_grad()
def test_what_copies_repeat_is_pruned_without_loss(trunk):
    model, whole = trunk
    for block in pruning.blocks(model):
        for convolution, norm in (block.widening, block.depthwise):
            for values in (convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
                values[1::2] = values[::2]
    images = torch.rand(32, 1, 64, 64)
    before = whole(images)
    assert before.std() > 0.1
    pruning.prune(model, HALF, whole, images)
    assert [block.width for block in pruning.blocks(model)] == HALF
    assert torch.allclose(whole(images), before, atol=1e-2 * float(before.std()))


@torch.no_grad()
def test_it_beats_keeping_any_half(trunk):
    model, whole = trunk
    images = torch.rand(32, 1, 64, 64)
    before = whole(images)
    state = {name: value.clone() for name, value in whole.state_dict().items()}
    pruning.prune(model, HALF, whole, images)
    chosen = (whole(images) - before).square().mean()
    other = networks.build("lite0", size=64).body.model
    other._blocks = other._blocks[:3]
    any_half = nn.Sequential(other._conv_stem, other._bn0, other._swish, *other._blocks).eval()
    any_half.load_state_dict(state)
    pruning.narrow(other, HALF)
    assert chosen < 0.3 * (any_half(images) - before).square().mean()


@pytest.mark.slow
def test_the_slim_network_starts_from_a_whole_one_and_from_itself(tmp_path):
    from brainsift.deployment.export import write_onnx
    from brainsift.training.recipes import make_config

    images = torch.rand(8, 1, 64, 64)
    model = networks.build("lite0-slim", size=64)
    said = pretrained.load(model, "lite0-slim", "auto", images)
    assert said.startswith("ImageNet weights from") and said.endswith("pruned")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)  # as training leaves it
    path = tmp_path / "network.onnx"
    write_onnx(model.eval(), make_config("lite0-slim", size=64), path, halved=False)
    heir = networks.build("lite0-slim", size=64)
    assert pretrained.load(heir, "lite0-slim", str(path), images) == "an exported network from network.onnx"
    with torch.no_grad():
        assert torch.allclose(heir.eval()(images), model(images), rtol=1e-2)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(InputError, match="holds no weights that can be read"):
        pretrained.load(networks.build("lite0-slim", size=64), "lite0-slim", str(path), torch.rand(2, 1, 64, 64))
