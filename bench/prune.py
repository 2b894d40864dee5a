"""Which channels inside the blocks of lite0 does its logit need?

For each block: what the output loses if half of its channels are pruned, what that changes of the logit, and what a
channel costs. From these, the widths of a network of a given cost that change the logit least; for a cost of 0.7 they
are those of `lite0-slim`. Only training images are read for that.

With -o each of these networks is pruned, without further training, and written in INT8 as `COST.onnx`; the weighted log
loss on the validation set, slope and intercept fitted, and ROC AUC are those of the file.

Usage:
    python bench/prune.py FIFTH/network.onnx FOLDER --cost 0.5 0.6 0.7 [-o PRUNED]

FIFTH is the bundle that shipped in commit 0ccd438; FOLDER is that of train_further.py: `run/split.csv` and `cache`.
"""

import argparse
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

from brainsift.core.files import replacing
from brainsift.datasets.manifest import read_manifest
from brainsift.deployment.export import write_onnx
from brainsift.deployment.quantization import quantize, typical
from brainsift.training import networks, pretrained
from brainsift.training.augment import to_input
from brainsift.training.cache import cached_pixels
from brainsift.training.exported import ExportedNetwork
from brainsift.training.pruning import Block, blocks, observe, prune, ranked, shrink
from brainsift.training.recipes import make_config
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
    parser.add_argument("--cost", nargs="+", type=float, default=[0.7], help="of all blocks, as a share")
    parser.add_argument("-o", "--output", type=Path, help="folder for the pruned networks in INT8")
    arguments = parser.parse_args()
    table = read_manifest(arguments.folder / "run" / "split.csv")
    table = table[table["part"].isin(("train", "validation")) & table["label"].notna()].reset_index(drop=True)
    pixels, rows = cached_pixels(table, arguments.folder / "cache", preprocessing="standard", size=128)
    table, rows = table[rows >= 0].reset_index(drop=True), rows[rows >= 0]
    images = to_input(torch.from_numpy(typical(table, pixels, rows, n=_IMAGES, seed=1)))
    whole = networks.build("lite0")
    pretrained.load(whole, "lite0", str(arguments.network), images)
    curves = _curves(whole.eval(), images)
    if arguments.output:
        print(f"as it is: {_scores(arguments.network, table, pixels, rows)}")
    for cost in arguments.cost:
        widths = _widths(curves, cost)
        print(f"cost {cost:g}: {widths}", flush=True)
        if arguments.output:
            pruned = deepcopy(whole)
            prune(cast(nn.Module, pruned.body.model), widths, pruned, images)
            path = arguments.output / f"{cost:g}.onnx"
            _write(pruned, path, typical(table, pixels, rows))
            print(f"    {path.stat().st_size / 1e6:.2f} MB; {_scores(path, table, pixels, rows)}", flush=True)


def _write(network: networks.Classifier, path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, replacing(path) as finished:
        single = Path(folder) / "network.onnx"
        write_onnx(network, make_config("lite0", "release"), single, halved=False)
        quantize(single, finished, pixels)


def _scores(path: Path, table: pd.DataFrame, pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> str:
    """Returns the scores of an exported network on the validation set, in words."""
    held_out = (table["part"] == "validation").to_numpy()
    judged, places = table[held_out].reset_index(drop=True), rows[held_out]
    network = ExportedNetwork(path)
    batches = (pixels[places[start : start + 32]] for start in range(0, len(places), 32))
    logits = np.concatenate([network(to_input(torch.from_numpy(np.asarray(one)))).numpy() for one in batches])
    weights, labels = sampling_weights(judged).numpy(), judged["label"].to_numpy(int)
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], labels, sample_weight=weights)
    loss = log_loss(labels, fitted.predict_proba(logits[:, None]), sample_weight=weights)
    sagittal = (judged["plane"] == "sagittal").to_numpy()
    return (
        f"weighted log loss {loss:.4f}, ROC AUC {roc_auc_score(labels, logits):.4f}, "
        f"of sagittal slices {roc_auc_score(labels[sagittal], logits[sagittal]):.4f}"
    )


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
