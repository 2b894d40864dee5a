"""brainsift's own training, one epoch at a time.

Task, see worker.py: {"manifest": CSV with parts, "model", "recipe", "images": N, "cache": FOLDER} trains one epoch of N
images: "seconds", with augmentation and the weights' average. Pixels are decoded once, before the time counts.
"""

import tempfile
from pathlib import Path
from typing import Any

from worker import answer

from brainsift.datasets.manifest import read_manifest
from brainsift.training.recipes import make_config
from brainsift.training.train import train


def _epoch(task: dict[str, Any]) -> dict[str, Any]:
    config = make_config(task["model"], task["recipe"], epochs=1, epoch_images=task["images"])
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            read_manifest(Path(task["manifest"])),
            config,
            Path(folder) / "run",
            cache=Path(task["cache"]),
            on_epoch=lambda row: seconds.append(row["seconds"]),
        )
    return {"seconds": seconds[0]}


if __name__ == "__main__":
    answer(_epoch, packages=("torch", "numpy"))
