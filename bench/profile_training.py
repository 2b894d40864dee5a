"""Where does the time of training go, operation by operation on one core, and what is the least that it could take?

The steps of an epoch on drawn slices go through `train` under torch's profiler. The floor is the multiply-adds of all
convolutions, forward and, where they are trained, backward, at the rate of a large float32 matrix product on this
core; where the processor has bf16, a layer that uses it can be below its part of the floor.
To see what a change brought, run it again with the sources of another commit on PYTHONPATH.

Usage:
    python bench/profile_training.py [--model compact] [--recipe standard] [--images 1024]
"""

import argparse
import os
import tempfile
from pathlib import Path

# ruff: noqa: E402
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # before NumPy and torch count the cores

import pandas as pd
import torch
from floors import matmul_rate
from side_by_side import hardware, machine_line
from torch import nn
from torch.profiler import ProfilerActivity, profile

from brainsift.auditing.audit import AuditConfig, audit
from brainsift.core.progress import Progress
from brainsift.datasets.catalog import collect
from brainsift.images.phantom import write_phantoms
from brainsift.training.recipes import TrainConfig, make_config
from brainsift.training.runs import build_network
from brainsift.training.train import train

# part -> beginnings of the names of its operations
_PARTS = {
    "convolutions, forward": ("aten::mkldnn_convolution", "aten::_slow_conv", "aten::thnn_conv"),
    "convolutions, backward": ("aten::convolution_backward",),
    "batch norms": ("aten::native_batch_norm",),
    "activations": ("aten::clamp", "aten::hardtanh", "aten::threshold_backward", "aten::relu"),
    "filling memory": ("aten::fill_", "aten::zero_"),
    "copies": ("aten::copy_", "aten::cat"),
    "moving and re-contrasting images": ("aten::grid_sampler", "aten::affine_grid", "aten::pow", "aten::avg_pool2d"),
    "optimiser and average of weights": ("aten::_fused_adamw_", "aten::_foreach"),
}
_REST = "the rest"


def main() -> None:
    """Measures."""
    arguments = _arguments()
    torch.set_num_threads(1)
    config = make_config(
        arguments.model, arguments.recipe, epochs=1, epoch_images=arguments.images, threads=1, log="none"
    )
    machine = hardware()
    with tempfile.TemporaryDirectory() as name:
        seconds, parts = _profiled(config, Path(name))
    floor = _multiply_adds(config) / matmul_rate()
    print(machine_line(machine))
    print(f"{config.model}, recipe {config.recipe}, {config.size} px, batches of {config.batch_size}, one core\n")
    print("| part | µs an image | share, % |\n|---|---:|---:|")
    total = sum(parts.values())
    for part, spent in parts.items():
        print(f"| {part} | {1e6 * spent:.0f} | {100 * spent / total:.0f} |")
    print(f"| all | {1e6 * total:.0f} | 100 |")
    print(f"\n{1 / seconds:.0f} images/s, validation included; floor {1e6 * floor:.0f} µs an image")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--images", type=int, default=1024)
    return parser.parse_args()


def _profiled(config: TrainConfig, folder: Path) -> tuple[float, dict[str, float]]:
    """Trains once as it is and once under the profiler; returns seconds an image of the epoch, and of each part."""
    table = _table(folder)
    seconds: list[float] = []
    train(table, config, folder / "plain", cache=folder / "cache", on_epoch=lambda row: seconds.append(row["seconds"]))
    seen = profile(activities=[ProfilerActivity.CPU])

    def watch(step: Progress) -> None:  # from the end of the first training step to that of the last one
        if step.stage == config.model and step.done == 1:
            seen.start()
        if step.stage == config.model and step.done == step.total:
            seen.stop()

    train(table, config, folder / "profiled", cache=folder / "cache", report=watch)
    parts: dict[str, float] = dict.fromkeys((*_PARTS, _REST), 0.0)
    for operation in seen.key_averages():
        parts[_part(operation.key)] += operation.self_cpu_time_total / 1e6 / (config.epoch_images - config.batch_size)
    return seconds[0] / config.epoch_images, parts


def _part(operation: str) -> str:
    return next((part for part, names in _PARTS.items() if operation.startswith(names)), _REST)


def _table(folder: Path) -> pd.DataFrame:
    """Draws slices, nearly all of them to train on."""
    drawn = write_phantoms(folder / "drawn", count=160)
    table = audit(collect([str(drawn)]), AuditConfig(probes=False), cache=folder / "audit").manifest
    return table.assign(part=["validation" if place % 10 == 0 else "train" for place in range(len(table))])


def _multiply_adds(config: TrainConfig) -> int:
    """Returns the multiply-adds of a training step for one image: trained convolutions also go backward, twice."""
    model = build_network(config)
    model.freeze(config.frozen)
    total = 0

    def count(convolution: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        passes = 3 if convolution.weight.requires_grad else 1
        total += passes * output.numel() * convolution.weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    model.eval()(torch.rand(1, 1, config.size, config.size))
    return total


if __name__ == "__main__":
    main()
