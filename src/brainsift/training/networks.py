"""The networks. Input: float32 (n, channels, size, size) in [0, 1]; `forward` returns logits (n,).

`baseline-cnn`  the network of the baseline study: four valid 3×3 convolutions
`compact`       of this project: the first blocks of MobileNetV2 and a tumor map, 0.8 M parameters
`lite0`         the same with all of EfficientNet-lite0 (Tan and Le 2019), 3.1 M parameters
`lite0-slim`    the same with those channels inside its blocks that the decision needs most, 1.1 M parameters
`mobilenet`     MobileNetV2 (Sandler et al. 2018), defined by transformers
`resnet50`      ResNet-50 (He et al. 2016), defined by transformers

`compact` and `lite0` also draw a map of where they see a tumor, at an eighth of the side of the input; segmentation
masks can train it.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainsift.core.errors import UsageError
from brainsift.training import pruning

# (mean, scale) of the affine map that each network applies to pixels in [0, 1]
_CENTRED = (0.5, 0.25)
_TENSORFLOW = (0.5, 0.5)
# Channels inside the blocks of `lite0-slim`, of 32, 96, 144, 144, 240, 240, 480, …: for 0.7 of the cost, those that
# change the logit least (bench/prune.py).
_SLIM = (24, 80, 136, 144, 240, 240, 432, 424, 480, 560, 552, 592, 176, 136, 8, 8)


class Classifier(nn.Module):
    """A body that gives features, and a head that gives logits.

    Args:
        body: maps (n, channels, size, size) to features (n, n_features).
        n_features: length of a feature vector.
        dropout: share of features dropped before the head while training.
        n_outputs: 1, or more for the baseline study's 4-way softmax.
        shift: the affine map of the pixels, (mean, scale): ``(x - mean) / scale``.
        l2: penalty on convolution kernels, added to the loss (Keras `kernel_regularizer`).
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        n_features: int,
        dropout: float,
        n_outputs: int = 1,
        shift: tuple[float, float] = _CENTRED,
        l2: float = 0.0,
    ) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, n_outputs))
        self.mean, self.scale = shift
        self.l2 = l2
        self._frozen: list[nn.Module] = []

    def freeze(self, n_blocks: int, *, bf16: bool = False) -> None:
        """Freezes the first blocks of the body, batch statistics included.

        Args:
            n_blocks: of the body's `blocks`; none in a body without them.
            bf16: compute them in bf16 while training.
        """
        self._frozen = list(getattr(self.body, "blocks", []))[:n_blocks]
        for block in self._frozen:
            block.requires_grad_(False)
        if bf16 and isinstance(self.body, _Mapping):
            self.body.n_bf16 = len(self._frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """Sets training or evaluation mode; frozen blocks stay in evaluation mode."""
        super().train(mode)
        for block in self._frozen:
            block.eval()
        return self

    def centred(self, images: Tensor) -> Tensor:
        """Returns pixels as the body takes them."""
        return (images - self.mean) / self.scale

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the outputs of the last layer (n, n_outputs), and the logits of the tumor map (n, 1, h, w) if any."""
        found = self.body(self.centred(images))
        features, tumor_map = found if isinstance(found, tuple) else (found, None)
        return self.head(features), tumor_map

    def forward(self, images: Tensor) -> Tensor:
        """Returns the log-odds of tumor, (n,)."""
        return log_odds(self.outputs(images)[0])

    def penalty(self) -> Tensor | float:
        """Returns the L2 penalty of the convolution kernels."""
        if not self.l2:
            return 0.0
        kernels = (module.weight for module in self.body.modules() if isinstance(module, nn.Conv2d))
        return self.l2 * sum(kernel.square().sum() for kernel in kernels)


def log_odds(outputs: Tensor) -> Tensor:
    """Turns (n, 1) logits or (n, k) softmax logits, class 1 = tumor, into log-odds of tumor (n,)."""
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    others = torch.cat([outputs[:, :1], outputs[:, 2:]], dim=1)
    return outputs[:, 1] - others.logsumexp(dim=1)


def draws_map(name: str) -> bool:
    """Tells whether a network draws a tumor map."""
    return MODELS[name].draws_map


def count_parameters(model: nn.Module) -> int:
    """Counts the trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def build(
    name: str, *, dropout: float | None = None, size: int = 128, in_channels: int = 1, twice_preprocessed: bool = False
) -> Classifier:
    """Builds a network with fresh weights (for ImageNet weights see `pretrained.load`).

    Args:
        name: one of `MODELS`.
        dropout: None for the network's own default.
        size: side of the square input, pixels.
        in_channels: 1 (grey) or 3.
        twice_preprocessed: the baseline study's mistake in `mobilenet` and `resnet50`: pixels already in
            [0, 1] go through the ImageNet preprocessing for 0-255, and a 4-way softmax separates two classes.

    Raises:
        UsageError: no such network.
    """
    if name not in MODELS:
        raise UsageError("model", f"must be one of {', '.join(MODELS)}, not {name!r}", "Choose one of them.")
    spec = MODELS[name]
    shift, n_outputs = (spec.second_shift, 4) if twice_preprocessed and spec.second_shift else (spec.shift, 1)
    body, n_features = spec.body(size, in_channels, spec.dropout if dropout is None else dropout)
    model = Classifier(
        body,
        n_features=n_features,
        dropout=spec.dropout if dropout is None else dropout,
        n_outputs=n_outputs,
        shift=shift,
        l2=spec.l2,
    )
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _baseline_cnn(size: int, in_channels: int, dropout: float) -> tuple[nn.Module, int]:
    widths = (in_channels, 32, 64, 128, 256)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3), nn.ReLU(), nn.MaxPool2d(2)]
        size = (size - 2) // 2
    layers += [nn.Flatten(), nn.Dropout(dropout), nn.Linear(size * size * widths[-1], 128), nn.ReLU()]
    body = nn.Sequential(*layers)
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):  # as Keras does
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return body, 128


class _ConvNorm(nn.Sequential):
    """3×3 or 5×5 convolution, batch norm, optional ReLU."""

    def __init__(self, before: int, after: int, *, kernel: int = 3, stride: int = 1, relu: bool = True) -> None:
        norm = nn.BatchNorm2d(after)
        convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, norm, *([nn.ReLU()] if relu else []))

    @property
    def norm(self) -> nn.BatchNorm2d:
        return cast(nn.BatchNorm2d, self[1])


class _Pooled(nn.Module):
    """A transformers vision model as a plain module: images to pooled features."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).pooler_output.flatten(1)


def _mobilenet_v2(size: int, in_channels: int) -> nn.Module:
    from transformers import MobileNetV2Config, MobileNetV2Model

    model = MobileNetV2Model(MobileNetV2Config(num_channels=in_channels, image_size=size, tf_padding=True))
    padded = MobileNetV2Config(tf_padding=False)
    for layer in model.modules():
        if (convolution := getattr(layer, "convolution", None)) and convolution.stride == (1, 1):
            # TensorFlow pads both sides alike here, which the convolution does itself, without a copy.
            convolution.padding = tuple(side // 2 for side in convolution.kernel_size)
            layer.config = padded  # type: ignore[assignment]
    return model


def _mobilenet(size: int, in_channels: int, _dropout: float) -> tuple[nn.Module, int]:
    return _Pooled(_mobilenet_v2(size, in_channels)), 1280


class _Mapping(nn.Module):
    """A trunk, and a feature pyramid on it (Lin et al. 2017) that draws the map.

    The decision uses only the features at which the map points.

    Args:
        model: the trunk.
        blocks: gives the parts of the trunk in the order of execution.
        levels: at strides 8, 16 and 32, the last block there and its channels.

    Returns:
        Features (n, 66): the pyramid averaged with the map as attention, the mean of the strongest places of the
        map, and the strongest one; and the logits of the map (n, 1, size / 8, size / 8).
    """

    _WIDTH = 64
    _PLACES = 4

    def __init__(
        self, model: nn.Module, blocks: Callable[[nn.Module], list[nn.Module]], levels: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.model, self._blocks_of, self._levels = model, blocks, [block for block, _ in levels]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, self._WIDTH, 1) for _, channels in levels)
        self.mix = nn.Sequential(_ConvNorm(self._WIDTH, self._WIDTH), _ConvNorm(self._WIDTH, self._WIDTH))
        self.draw = nn.Conv2d(self._WIDTH, 1, 1)
        nn.init.constant_(cast(Tensor, self.draw.bias), -3.0)  # few places show a tumor
        self.n_features = self._WIDTH + 2
        self.n_bf16 = 0  # blocks at the front that compute in bf16 while training

    @property
    def blocks(self) -> list[nn.Module]:
        """The parts of the trunk in the order of execution."""
        return self._blocks_of(self.model)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.levels(images))

    def levels(self, images: Tensor) -> list[Tensor]:
        """Returns the features of the trunk at strides 8, 16 and 32."""
        n_bf16 = self.n_bf16 if self.training else 0
        features, seen = images, []
        for place, block in enumerate(self.blocks):
            with torch.autocast(images.device.type, torch.bfloat16) if place < n_bf16 else nullcontext():
                features = block(features)
            if place < n_bf16 and (place == n_bf16 - 1 or place in self._levels):
                features = features.float()
            seen.append(features)
        return [seen[block] for block in self._levels]

    def read(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Draws the map, and gathers the features for the decision."""
        drawn = [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)]
        side = drawn[0].shape[-2:]
        pyramid = self.mix(sum(F.interpolate(one, side, mode="bilinear") for one in drawn))
        tumor_map = self.draw(pyramid)
        places = tumor_map.flatten(1)
        seen = (pyramid.flatten(2) * places.softmax(dim=1).unsqueeze(1)).sum(dim=2)
        strongest = places.topk(min(self._PLACES, places.shape[1]), dim=1).values
        return torch.cat([seen, strongest.mean(dim=1, keepdim=True), strongest[:, :1]], dim=1), tumor_map


def _compact(size: int, in_channels: int, _dropout: float) -> tuple[nn.Module, int]:
    levels = ((5, 32), (12, 96), (13, 160))
    model = _mobilenet_v2(size, in_channels)
    del cast(nn.ModuleList, model.layer)[levels[-1][0] :], model.conv_1x1, model.pooler
    body = _Mapping(model, _mobilenet_blocks, levels)
    return body, body.n_features


def _mobilenet_blocks(model: nn.Module) -> list[nn.Module]:
    return [cast(nn.Module, model.conv_stem), *cast(nn.ModuleList, model.layer)]


def _lite0(size: int, in_channels: int, _dropout: float, *, slim: bool = False) -> tuple[nn.Module, int]:
    from efficientnet_lite_pytorch import EfficientNet

    # The package has no public access to its blocks: pyproject.toml bounds its version.
    model = EfficientNet.from_name("efficientnet-lite0", in_channels=in_channels, image_size=size)
    del model._conv_head, model._bn1, model._fc
    if slim:
        pruning.narrow(model, _SLIM)
    body = _Mapping(model, _lite0_blocks, ((5, 40), (11, 112), (16, 320)))
    return body, body.n_features


def _lite0_blocks(model: nn.Module) -> list[nn.Module]:
    stem = nn.Sequential(*(cast(nn.Module, part) for part in (model._conv_stem, model._bn0, model._swish)))
    return [stem, *cast(nn.ModuleList, model._blocks)]


def _resnet50(_size: int, in_channels: int, _dropout: float) -> tuple[nn.Module, int]:
    from transformers import ResNetConfig, ResNetModel

    return _Pooled(ResNetModel(ResNetConfig(num_channels=in_channels))), 2048


@dataclass(frozen=True)
class _Spec:
    body: Callable[[int, int, float], tuple[nn.Module, int]]
    dropout: float
    shift: tuple[float, float] = _CENTRED
    second_shift: tuple[float, float] | None = None
    l2: float = 0.0
    draws_map: bool = False


# What Keras' `preprocess_input` does to pixels in [0, 1]: x / 127.5 - 1 for MobileNet; minus the ImageNet mean
# (about 115 of 255) for ResNet.
MODELS = {
    "baseline-cnn": _Spec(_baseline_cnn, dropout=0.4, shift=(0.0, 1.0), l2=0.005),
    "compact": _Spec(_compact, dropout=0.2, shift=_TENSORFLOW, draws_map=True),
    "lite0": _Spec(_lite0, dropout=0.2, shift=_TENSORFLOW, draws_map=True),
    "lite0-slim": _Spec(partial(_lite0, slim=True), dropout=0.2, shift=_TENSORFLOW, draws_map=True),
    "mobilenet": _Spec(_mobilenet, dropout=0.2, shift=_TENSORFLOW, second_shift=(127.5, 127.5)),
    "resnet50": _Spec(_resnet50, dropout=0.2, second_shift=(115.0, 1.0)),
}
