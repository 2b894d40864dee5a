"""The baseline study's network in plain PyTorch, as one would write it first: files read anew by a `DataLoader`.

Task, see worker.py: {"list": CSV} trains one epoch on the listed images (path and label): "seconds".
"""

import csv
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from worker import answer


class _Files(Dataset[tuple[torch.Tensor, float]]):
    def __init__(self, name: str) -> None:
        with Path(name).open(newline="", encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, float]:
        row = self.rows[place]
        with Image.open(row["path"]) as image:
            pixels = np.array(image.convert("RGB").resize((128, 128)))
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, float(row["label"])


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((3, 32, 64, 128, 256)):
        layers += [nn.Conv2d(before, after, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Dropout(0.4), nn.Linear(256 * 6 * 6, 128), nn.ReLU(), nn.Dropout(0.4)]
    return nn.Sequential(*layers, nn.Linear(128, 1))


def _epoch(task: dict[str, Any]) -> dict[str, Any]:
    model, loss = _network(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    loader = DataLoader(_Files(task["list"]), batch_size=32, shuffle=True, num_workers=workers)
    start = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        loss(model(images)[:, 0], labels.float()).backward()
        optimizer.step()
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    answer(_epoch, packages=("torch", "pillow"))
