"""Which channels inside the blocks of lite0 does its logit need?

For each block: what the output loses if half of its channels are pruned, what that changes of the logit, and what a
channel costs. From these, the widths of a network of a given cost that change the logit least; for a cost of 0.4 they
are those of `lite0-slim`. Only training images are read.

Usage:
    python bench/prune.py src/brainsift/inference/shipped/network.onnx FOLDER --cost 0.3 0.4 0.5

FOLDER is that of train_further.py: `run/split.csv` and `cache`.
"""

import argparse
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from brainsift.datasets.manifest import read_manifest
from brainsift.training import networks, pretrained
from brainsift.training.augment import to_input
from brainsift.training.cache import cached_pixels
from brainsift.training.pruning import Block, blocks, observe, ranked, shrink
from brainsift.training.sampling import sampling_weights

_IMAGES = 512
_STEP = 8  # channels
_DEPTHWISE = 5  # times as long as a multiply-add of another convolution takes one of a depthwise convolution


@dataclass(frozen=True)
class _Curve:
    """A block: its width, what a channel costs, and what is lost of the logit with 1, 2, … channels."""

    width: int
    cost: int
    losses: list[float]


def main() -> None:
    """Prints a table of the blocks, and widths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="network.onnx of a bundle of lite0")
    parser.add_argument("folder", type=Path, help="of train_further.py")
    parser.add_argument("--cost", nargs="+", type=float, default=[0.4], help="of all blocks, as a share")
    arguments = parser.parse_args()
    images = _training_images(arguments.folder)
    whole = networks.build("lite0")
    pretrained.load(whole, "lite0", str(arguments.network), images)
    curves = _curves(whole.eval(), images)
    for cost in arguments.cost:
        print(f"cost {cost:g}: {_widths(curves, cost)}")


def _training_images(folder: Path) -> Tensor:
    table = read_manifest(folder / "run" / "split.csv")
    table = table[(table["part"] == "train") & table["label"].notna()].reset_index(drop=True)
    pixels, rows = cached_pixels(table, folder / "cache", preprocessing="standard", size=128)
    weights = sampling_weights(table).numpy() * (rows >= 0)
    drawn = np.random.default_rng(1).choice(rows, _IMAGES, replace=False, p=weights / weights.sum())
    return to_input(torch.from_numpy(np.asarray(pixels[drawn])))


@torch.no_grad()
def _curves(whole: networks.Classifier, images: Tensor) -> list[_Curve]:
    model = cast(nn.Module, whole.body.model)
    sizes: dict[nn.Module, tuple[int, int]] = {}
    hooks = [
        block.depthwise[0].register_forward_hook(
            lambda layer, given, result: sizes.update({layer: (given[0][0, 0].numel(), result[0, 0].numel())})
        )
        for block in blocks(model)
    ]
    seen, before = observe(model, whole, images), whole(images)
    for hook in hooks:
        hook.remove()
    curves = []
    print("block  width  multiply-adds of a channel  by half: output lost, %  mean square change of the logit")
    for number, (block, moments) in enumerate(zip(blocks(model), seen, strict=True)):
        order, gains = ranked(moments, block.width)
        unexplained = 1 - np.cumsum(gains) / sum(gains)
        half = block.width // 2
        pruned = deepcopy(whole)
        shrink(list(blocks(cast(nn.Module, pruned.body.model)))[number], moments, order[:half])
        change, lost = float((pruned(images) - before).square().mean()), float(unexplained[half - 1])
        cost = _cost(block, *sizes[block.depthwise[0]])
        print(f"{number:5}  {block.width:5}  {cost:26}  {lost:23.2%}  {change:31.4f}", flush=True)
        curves.append(_Curve(block.width, cost, [float(one) * change / max(lost, 1e-3) for one in unexplained]))
    return curves


def _cost(block: Block, n_before: int, n_after: int) -> int:
    """Returns the multiply-adds of one channel inside a block, on so many pixels before and after its filter."""
    widening, depthwise, projection = (layer for layer, _ in block)
    return (
        n_before * widening.weight[0].numel()
        + _DEPTHWISE * n_after * depthwise.weight[0].numel()
        + n_after * projection.out_channels
    )


def _widths(curves: list[_Curve], share: float) -> list[int]:
    """Returns widths in steps of 8 channels, each step where it saves most of the logit for its cost."""
    widths = [_STEP] * len(curves)
    budget = share * sum(curve.width * curve.cost for curve in curves)

    def gain(number: int) -> float:
        curve, width = curves[number], widths[number]
        ahead = [width + _STEP * steps for steps in (1, 2, 4, 8) if width + _STEP * steps <= curve.width]
        losses = curve.losses
        return max(((losses[width - 1] - losses[new - 1]) / (new - width) for new in ahead), default=-1.0) / curve.cost

    while True:
        best = max(range(len(curves)), key=gain)
        spent = sum(width * curve.cost for width, curve in zip(widths, curves, strict=True))
        if gain(best) < 0 or spent + _STEP * curves[best].cost > budget:
            return widths
        widths[best] += _STEP


if __name__ == "__main__":
    main()
