"""The network that ships, through `brainsift.Predictor`, as `brainsift predict --csv` uses it."""

import os
from collections.abc import Iterator

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does, before NumPy is imported

from worker import serve

from brainsift.predict import Predictor

_predictor = Predictor()


def _score(paths: list[str]) -> Iterator[tuple[str, float]]:
    for answer in _predictor.predict(paths):
        yield answer.path, float("nan") if answer.probability is None else answer.probability


if __name__ == "__main__":
    serve(_score, packages=("onnxruntime", "pillow", "numpy"))
