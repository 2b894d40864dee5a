"""The PyPI package `detect-tumor` as its documentation uses it: VGG16, one image at a time."""

from collections.abc import Iterator

from detect_tumor import TumorDetector
from worker import serve

_detector = TumorDetector()


def _score(paths: list[str]) -> Iterator[tuple[str, float]]:
    for path in paths:
        yield path, 1 - _detector.predict(path).probabilities["notumor"] / 100


if __name__ == "__main__":
    serve(_score, packages=("detect-tumor", "onnxruntime", "pillow"))
