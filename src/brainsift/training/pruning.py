"""Structured pruning: fewer channels inside the blocks of EfficientNet-lite0, so that it predicts in less time.

A block widens its input, filters each channel alone, and projects the channels back to few. Only the channels inside
are pruned, so that all blocks still fit one another.
"""

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn


class _Block(NamedTuple):
    widening: tuple[nn.Conv2d, nn.BatchNorm2d]
    depthwise: tuple[nn.Conv2d, nn.BatchNorm2d]
    projection: tuple[nn.Conv2d, nn.BatchNorm2d]


def narrow(model: nn.Module) -> None:
    """Keeps every second channel inside each block, whichever they are: for a network without weights.

    Args:
        model: an EfficientNet of efficientnet_lite_pytorch. Changed in place.
    """
    for block in _blocks(model):
        _keep(block, torch.arange(0, block.projection[0].in_channels, 2))


@torch.no_grad()
def prune(model: nn.Module, see: nn.Module, images: Tensor) -> None:
    """Keeps the half of the channels inside each block from which its output can best be told, and fits its projection.

    Channels are chosen one by one, by orthogonal least squares (Chen et al. 1989), and the projection is the
    regression of what it gave before on those kept (He et al. 2017).

    Args:
        model: an EfficientNet of efficientnet_lite_pytorch. Changed in place.
        see: the network around it, which takes ``images``.
        images: float32 (n, channels, size, size) in [0, 1], like those of the training set.
    """
    blocks = list(_blocks(model))
    moments = [_Moments(block.projection[0]) for block in blocks]
    training = see.training
    see.eval()
    for some in images.split(64):
        see(some)
    see.train(training)
    for block, seen in zip(blocks, moments, strict=True):
        seen.stop()
        projection, norm = block.projection
        kept = _chosen(*seen.centered(), projection.in_channels // 2)
        covariance, crossed = seen.centered()
        small = covariance[kept][:, kept]
        small += 1e-6 * small.diagonal().mean() * torch.eye(len(kept), dtype=small.dtype)
        fitted = torch.linalg.solve(small, crossed[:, kept].T).T
        shift = fitted @ seen.inputs[kept] / seen.n - seen.outputs / seen.n
        _keep(block, kept)
        projection.weight.copy_(fitted.to(projection.weight)[:, :, None, None])
        cast(Tensor, norm.running_mean).add_(shift.to(norm.weight))


class _Moments:
    """Sums over all places of what a projection takes and gives, float64."""

    def __init__(self, projection: nn.Conv2d) -> None:
        before, after = projection.in_channels, projection.out_channels
        self.n = 0
        self.inputs, self.outputs = torch.zeros(before, dtype=torch.float64), torch.zeros(after, dtype=torch.float64)
        self._squares = torch.zeros(before, before, dtype=torch.float64)
        self._products = torch.zeros(after, before, dtype=torch.float64)
        self._hook = projection.register_forward_hook(self._add)

    def _add(self, _: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        x, y = (values.movedim(1, 0).flatten(1) for values in (given[0], result))
        self.n += x.shape[1]
        self.inputs += x.double().sum(dim=1).cpu()
        self.outputs += y.double().sum(dim=1).cpu()
        self._squares += (x @ x.T).double().cpu()
        self._products += (y @ x.T).double().cpu()

    def stop(self) -> None:
        """Takes in no more."""
        self._hook.remove()

    def centered(self) -> tuple[Tensor, Tensor]:
        """Returns the covariance of the inputs (c, c), and of the outputs with the inputs (d, c)."""
        mean = self.inputs / self.n
        squares = self._squares / self.n - mean.outer(mean)
        return squares, self._products / self.n - (self.outputs / self.n).outer(mean)


def _chosen(covariance: Tensor, crossed: Tensor, n: int) -> Tensor:
    """Returns the places of the n inputs from which the outputs can best be told, ascending.

    Args:
        covariance: of the inputs, (c, c).
        crossed: of the outputs with the inputs, (d, c).
        n: at most c.
    """
    own, rest = covariance.clone(), crossed.clone()
    least = 1e-9 * own.diagonal().max()
    free = torch.ones(len(own), dtype=torch.bool)
    for _ in range(n):
        left = own.diagonal()
        gain = torch.where(left > least, rest.square().sum(dim=0) / left.clamp(min=least), 0.0)
        best = int(torch.where(free, gain, -1.0).argmax())
        free[best] = False
        if left[best] > least:
            direction = own[best] / left[best].sqrt()
            rest -= (rest[:, best] / left[best].sqrt()).outer(direction)
            own -= direction.outer(direction)
    return (~free).nonzero()[:, 0]


def _blocks(model: nn.Module) -> Iterator[_Block]:
    """Yields the blocks of an EfficientNet; the first one's channels are those that the stem gives."""
    for block in cast(nn.ModuleList, model._blocks):
        first = not hasattr(block, "_expand_conv")
        widening = (model._conv_stem, model._bn0) if first else (block._expand_conv, block._bn0)
        found = widening, (block._depthwise_conv, block._bn1), (block._project_conv, block._bn2)
        yield _Block(*found)  # type: ignore[arg-type]


def _keep(block: _Block, places: Tensor) -> None:
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
