"""The baseline study's path: OpenCV, its preprocessing image by image, its network in Keras 3 on TensorFlow.

The weights are random, which costs as much time as trained ones. The channels stay in OpenCV's order, as in the study.

Usage:
    python keras_cnn.py                     answers tasks, see worker.py
    python keras_cnn.py --save FILE.keras   writes the network
    python keras_cnn.py --predict FILE.keras IMAGE   a script's whole life: load the network, score one image
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[2] / "src"))  # brainsift.images.baseline needs NumPy and OpenCV alone

import cv2
import keras
import numpy as np
from worker import serve

from brainsift.images.baseline import baseline

_SIZE = 128
_BATCH = 32


def network() -> keras.Model:
    """Returns the network of the baseline study, with fresh weights."""
    layers: list[keras.layers.Layer] = [keras.Input((_SIZE, _SIZE, 3))]
    for width in (32, 64, 128, 256):
        layers += [keras.layers.Conv2D(width, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.005))]
        layers += [keras.layers.MaxPooling2D(2)]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.4), keras.layers.Dense(128, activation="relu")]
    return keras.Sequential([*layers, keras.layers.Dropout(0.4), keras.layers.Dense(1, activation="sigmoid")])


def pixels(path: str) -> np.ndarray:
    """Reads and prepares an image as the study does: (128, 128, 3) uint8."""
    return baseline(cv2.imread(path), _SIZE)


def _score(model: keras.Model, paths: list[str]) -> Iterator[tuple[str, float]]:
    images = np.stack([pixels(path) for path in paths]).astype(np.float32) / np.float32(255)
    yield from zip(paths, model.predict(images, batch_size=_BATCH, verbose=0)[:, 0].tolist(), strict=True)


def main() -> None:
    match sys.argv[1:]:
        case ["--save", name]:
            network().save(name)
        case ["--predict", name, path]:
            (answer,) = _score(keras.saving.load_model(name, compile=False), [path])
            print(*answer)
        case []:
            model = network()
            serve(lambda paths: _score(model, paths), packages=("keras", "tensorflow-cpu", "opencv-python-headless"))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
