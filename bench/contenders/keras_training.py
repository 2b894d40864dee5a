"""The baseline study's training: its preprocessing, its network and its recipe in Keras 3 on TensorFlow.

Adam at 1e-4, batches of 32, all images in memory, early stopping on the validation loss. Tasks, see worker.py:
    {"do": "rate", "list": CSV}       trains one epoch on the listed images: "seconds"
    {"do": "reach", "train": CSV, "validation": CSV, "test": CSV, "epochs": N, "patience": N, "target": accuracy}
        trains until the test accuracy is reached, or to the end: seconds of "preparation", and for each epoch its
        "seconds", without those of the test, and its test "accuracy"
A CSV has the columns path and label.
"""

import csv
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_cnn import network, pixels
from worker import answer

_BATCH = 32
_known: dict[str, tuple[np.ndarray, np.ndarray]] = {}


def _read(name: str) -> tuple[np.ndarray, np.ndarray]:
    with Path(name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = np.stack([pixels(row["path"]) for row in rows]).astype(np.float32) / np.float32(255)
    return images, np.array([float(row["label"]) for row in rows], np.float32)


def _fresh() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = network()
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy", metrics=["accuracy"])
    return model


def _rate(task: dict[str, Any]) -> dict[str, Any]:
    if task["list"] not in _known:
        _known[task["list"]] = _read(task["list"])
    images, labels = _known[task["list"]]
    model = _fresh()
    model.fit(images[: 2 * _BATCH], labels[: 2 * _BATCH], batch_size=_BATCH, verbose=0)  # builds the graph
    start = time.perf_counter()
    model.fit(images, labels, batch_size=_BATCH, epochs=1, verbose=0)
    return {"seconds": time.perf_counter() - start}


def _reach(task: dict[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    train, validation, test = (_read(task[part]) for part in ("train", "validation", "test"))
    preparation = time.perf_counter() - start
    model, epochs, best, waited = _fresh(), [], float("inf"), 0
    while len(epochs) < task["epochs"] and waited < task["patience"]:
        start = time.perf_counter()
        fitted = model.fit(*train, batch_size=_BATCH, epochs=1, validation_data=validation, verbose=0)
        seconds, loss = time.perf_counter() - start, fitted.history["val_loss"][0]
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        accuracy = float(((model.predict(test[0], verbose=0)[:, 0] >= 0.5) == test[1]).mean())
        epochs.append({"seconds": seconds, "accuracy": accuracy, "validation_loss": loss})
        if accuracy >= task["target"]:
            break
    return {"preparation": preparation, "epochs": epochs}


if __name__ == "__main__":
    answer(
        lambda task: {"rate": _rate, "reach": _reach}[task["do"]](task),
        packages=("keras", "tensorflow-cpu", "opencv-python-headless"),
    )
