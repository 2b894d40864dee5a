"""Structured pruning: fewer channels inside the blocks of EfficientNet-lite0, so that it predicts in less time.

A block widens its input, filters each channel alone, and projects the channels back to few. Only the channels inside
are pruned, so that all blocks still fit one another. `model` is always an EfficientNet of efficientnet_lite_pytorch.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn


class Block(NamedTuple):
    """The convolutions of a block, each with its batch norm; in the first block the stem is what widens."""

    widening: tuple[nn.Conv2d, nn.BatchNorm2d]
    depthwise: tuple[nn.Conv2d, nn.BatchNorm2d]
    projection: tuple[nn.Conv2d, nn.BatchNorm2d]

    @property
    def width(self) -> int:
        """The number of channels inside."""
        return self.projection[0].in_channels


def blocks(model: nn.Module) -> Iterator[Block]:
    """Yields the blocks of an EfficientNet."""
    for block in cast(nn.ModuleList, model._blocks):
        first = not hasattr(block, "_expand_conv")
        widening = (model._conv_stem, model._bn0) if first else (block._expand_conv, block._bn0)
        found = widening, (block._depthwise_conv, block._bn1), (block._project_conv, block._bn2)
        yield Block(*found)  # type: ignore[arg-type]


def narrow(model: nn.Module, widths: Sequence[int]) -> None:
    """Keeps the first channels inside each block: for a network without weights. Changes it in place."""
    for block, width in zip(blocks(model), widths, strict=True):
        _keep(block, torch.arange(width))


def prune(model: nn.Module, widths: Sequence[int], whole: nn.Module, images: Tensor) -> None:
    """Keeps those channels inside each block from which its output can best be told. Changes the model in place.

    Args:
        model: the EfficientNet.
        widths: the number of channels to keep in each block.
        whole: the network around it, which takes ``images``.
        images: float32 (n, channels, size, size) in [0, 1], like those of the training set.
    """
    for block, width, moments in zip(blocks(model), widths, observe(model, whole, images), strict=True):
        shrink(block, moments, ranked(moments, width)[0])


class Moments:
    """Covariances over all places of what a projection takes and gives, in float64."""

    def __init__(self, projection: nn.Conv2d) -> None:
        before, after = projection.in_channels, projection.out_channels
        self._n = 0
        self._inputs, self._outputs = (torch.zeros(size, dtype=torch.float64) for size in (before, after))
        self._squares = torch.zeros(before, before, dtype=torch.float64)
        self._products = torch.zeros(after, before, dtype=torch.float64)

    def add(self, _: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        """Takes in what a convolution took and gave."""
        x, y = (values.movedim(1, 0).flatten(1) for values in (given[0], result))
        self._n += x.shape[1]
        self._inputs += x.double().sum(dim=1).cpu()
        self._outputs += y.double().sum(dim=1).cpu()
        self._squares += (x @ x.T).double().cpu()
        self._products += (y @ x.T).double().cpu()

    @property
    def means(self) -> tuple[Tensor, Tensor]:
        """The means of the inputs (c,) and of the outputs (d,)."""
        return self._inputs / self._n, self._outputs / self._n

    @property
    def covariances(self) -> tuple[Tensor, Tensor]:
        """The covariance of the inputs (c, c), and of the outputs with the inputs (d, c)."""
        inputs, outputs = self.means
        return self._squares / self._n - inputs.outer(inputs), self._products / self._n - outputs.outer(inputs)


@torch.no_grad()
def observe(model: nn.Module, whole: nn.Module, images: Tensor) -> list[Moments]:
    """Returns what the projection of each block takes and gives, for `prune`'s arguments."""
    projections = [block.projection[0] for block in blocks(model)]
    seen = [Moments(projection) for projection in projections]
    hooks = [projection.register_forward_hook(one.add) for projection, one in zip(projections, seen, strict=True)]
    training = whole.training
    whole.eval()
    for some in images.split(64):
        whole(some)
    whole.train(training)
    for hook in hooks:
        hook.remove()
    return seen


def ranked(moments: Moments, n: int) -> tuple[list[int], list[float]]:
    """Ranks the n inputs of a projection that tell most of its outputs, by a regression on them.

    Returns:
        Their places, the most telling first, and the variance of the outputs that each explains beyond those before it.

    Source:
        Orthogonal least squares: Chen, Billings and Luo, Int J Control 50:1873, 1989.
    """
    own, rest = (one.clone() for one in moments.covariances)
    least = 1e-9 * own.diagonal().max()
    free = torch.ones(len(own), dtype=torch.bool)
    order, gains = list[int](), list[float]()
    for _ in range(n):
        left = own.diagonal().clone()
        gain = torch.where(left > least, rest.square().sum(dim=0) / left.clamp(min=least), 0.0)
        best = int(torch.where(free, gain, -1.0).argmax())
        free[best] = False
        order.append(best)
        gains.append(float(gain[best]))
        if left[best] > least:
            direction = own[best] / left[best].sqrt()
            rest -= (rest[:, best] / left[best].sqrt()).outer(direction)
            own -= direction.outer(direction)
    return order, gains


@torch.no_grad()
def shrink(block: Block, moments: Moments, kept: Sequence[int]) -> None:
    """Keeps some channels inside a block; its projection becomes the regression of its output on these.

    Source:
        He, Zhang and Sun, Channel Pruning for Accelerating Very Deep Neural Networks, 2017.
    """
    places = torch.tensor(sorted(kept))
    projection, norm = block.projection
    squares, products = moments.covariances
    squares = squares[places][:, places]
    squares += 1e-6 * squares.diagonal().mean() * torch.eye(len(places), dtype=squares.dtype)
    fitted = torch.linalg.solve(squares, products[:, places].T).T
    inputs, outputs = moments.means
    _keep(block, places)
    projection.weight.copy_(fitted.to(projection.weight)[:, :, None, None])
    cast(Tensor, norm.running_mean).add_((fitted @ inputs[places] - outputs).to(norm.weight))


def _keep(block: Block, places: Tensor) -> None:
    for convolution, norm in (block.widening, block.depthwise):
        convolution.weight = nn.Parameter(convolution.weight.detach()[places].clone())
        convolution.out_channels = norm.num_features = len(places)
        if convolution.groups > 1:
            convolution.in_channels = convolution.groups = len(places)
        norm.weight, norm.bias = (nn.Parameter(values.detach()[places].clone()) for values in (norm.weight, norm.bias))
        for name in ("running_mean", "running_var"):
            setattr(norm, name, cast(Tensor, getattr(norm, name))[places].clone())
    projection, _ = block.projection
    projection.weight = nn.Parameter(projection.weight.detach()[:, places].clone())
    projection.in_channels = len(places)
