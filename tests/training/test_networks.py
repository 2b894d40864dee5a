"""Networks: sizes, outputs, and what the baseline study's mistakes do to the pixels."""

import pytest
import torch

from brainsift.core.errors import UsageError
from brainsift.training import networks
from brainsift.training.augment import degrade
from brainsift.training.devices import choose_device
from brainsift.training.recipes import MODELS, RECIPES, make_config

pytestmark = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_gives_one_logit_an_image(name, channels):
    model = networks.build(name, in_channels=channels, size=64).eval()
    with torch.inference_mode():
        logits = model(torch.rand(2, channels, 64, 64))
    assert logits.shape == (2,)
    assert torch.isfinite(logits).all()


@pytest.mark.slow
def test_baseline_cnn_is_the_network_of_the_study():
    model = networks.build("baseline-cnn", in_channels=3, size=128)
    assert networks.count_parameters(model) == 1_568_321
    assert model.penalty().item() > 0
    assert networks.build("compact").penalty() == 0.0


@pytest.mark.slow
def test_compact_stays_under_a_million():
    assert networks.count_parameters(networks.build("compact")) <= 1_000_000


def test_unknown_network_is_named():
    with pytest.raises(UsageError, match="vgg"):
        networks.build("vgg")


def test_softmax_logits_become_log_odds():
    outputs = torch.randn(5, 4)
    expected = torch.softmax(outputs, dim=1)[:, 1]
    assert torch.allclose(torch.sigmoid(networks.log_odds(outputs)), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet", "resnet50"])
def test_twice_preprocessed_pixels_are_nearly_constant(name):
    wrong = networks.build(name, in_channels=3, twice_preprocessed=True)
    images = torch.rand(2, 3, 8, 8)
    seen = (images - wrong.mean) / wrong.scale
    assert float(seen.std() / seen.abs().mean()) < 0.01
    assert wrong.head[1].out_features == 4


@pytest.mark.parametrize("name", networks.MODELS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_network_has_its_recipes(name, recipe):
    if recipe == "fast" and name != "compact":
        with pytest.raises(UsageError, match="fast"):
            make_config(name, recipe)
        return
    config = make_config(name, recipe)
    expected = "baseline" if recipe == "baseline" else "standard"
    assert (config.model, config.recipe, config.preprocessing) == (name, recipe, expected)


def test_recipes_know_the_networks_without_torch():
    assert sorted(MODELS) == sorted(networks.MODELS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schedule", "linear"),
        ("precision", "fp16"),
        ("preprocessing", "foo"),
        ("log", "wandb"),
        ("device", "gpu"),
        ("size", 31),
        ("patience", 0),
        ("label_smoothing", 0.6),
        ("dropout", 1.5),
    ],
)
def test_recipe_values_are_checked(name, value):
    with pytest.raises(UsageError, match=rf"^{name}: must .* not .?{value}"):
        make_config("compact", **{name: value})


def test_recipes_and_sizes_that_a_network_does_not_take():
    with pytest.raises(UsageError, match="recipe"):
        make_config("compact", "best")
    with pytest.raises(UsageError, match="progressive: must be off for baseline-cnn"):
        make_config("baseline-cnn", progressive=True)
    with pytest.raises(UsageError, match="size: must be at least 46"):
        make_config("baseline-cnn", size=45)
    assert networks.build("baseline-cnn", size=46)(torch.rand(2, 1, 46, 46)).shape == (2,)


def test_what_changes_one_channel_is_refused_with_three():
    with pytest.raises(
        UsageError, match="strip, transplant, drawn, letters: must be 0 with the preprocessing baseline"
    ):
        make_config("compact", "release", preprocessing="baseline")
    with pytest.raises(UsageError, match="letters: must be 0"):
        make_config("compact", "baseline", letters=0.1)
    assert make_config("compact", "baseline", artifacts=0.5).artifacts == 0.5
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    degraded = degrade(images.clone(), strength=1.0, generator=torch.Generator().manual_seed(2))
    assert ((degraded - images).abs().amax(dim=(0, 2, 3)) > 0.05).all()  # all three


def test_a_device_that_is_not_here_is_refused():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="torch finds 0 of cuda:99 here"):
        choose_device("cuda:99")


@pytest.mark.slow
def test_blocks_frozen_beyond_the_first_level_feed_the_map_in_float32():
    model, images = networks.build("compact", size=64), torch.rand(2, 1, 64, 64)
    model.freeze(9, bf16=True)
    model.train().outputs(images)[0].sum().backward()
    assert all(level.dtype == torch.float32 for level in model.body.levels(model.centred(images)))
    assert all(parameter.grad is None for block in model.body.blocks[:9] for parameter in block.parameters())
    assert all(parameter.grad is not None for parameter in model.body.blocks[9].parameters())


def test_frozen_blocks_compute_in_bf16_while_training_only():
    torch.manual_seed(0)
    model, images = networks.build("compact", size=64), torch.rand(2, 1, 64, 64)
    model.eval()
    with torch.no_grad():
        before = model(images)
        model.freeze(5, bf16=True)
        assert torch.equal(model(images), before)
    model.train()
    levels = model.body.levels(model.centred(images))
    assert all(level.dtype == torch.float32 for level in levels)
    model.outputs(images)[0].sum().backward()
    trained = [parameter.grad is not None for parameter in model.body.blocks[5].parameters()]
    assert all(trained)
    assert all(parameter.grad is None for parameter in model.body.blocks[4].parameters())
    model.body.n_bf16 = 0
    exact = model.body.levels(model.centred(images))
    assert not torch.equal(levels[0], exact[0])
