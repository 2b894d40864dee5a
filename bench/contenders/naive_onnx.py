"""The same network file as one would run it first: Pillow, one image after the other, ONNX Runtime as it comes."""

from collections.abc import Iterator

import numpy as np
import onnxruntime
from PIL import Image
from worker import serve

from brainsift.images.standard import standard
from brainsift.inference.bundle import load_bundle

_bundle = load_bundle()
_session = onnxruntime.InferenceSession(str(_bundle.network), providers=["CPUExecutionProvider"])


def _score(paths: list[str]) -> Iterator[tuple[str, float]]:
    for path in paths:
        with Image.open(path) as image:
            pixels = standard(np.asarray(image.convert("L")), _bundle.size)
        logits = _session.run(["logits"], {"images": pixels[None, None].astype(np.float32) / np.float32(255)})[0]
        yield path, float(1 / (1 + np.exp(-logits[0] / _bundle.temperature)))


if __name__ == "__main__":
    serve(_score, packages=("onnxruntime", "pillow", "numpy"))
