"""The network that ships, through `brainsift.Predictor`, as `brainsift predict --csv` uses it."""

from collections.abc import Iterator

from worker import serve

from brainsift.inference.predictor import Predictor

_predictor = Predictor()


def _score(paths: list[str]) -> Iterator[tuple[str, float]]:
    for answer in _predictor.predict(paths):
        yield answer.path, float("nan") if answer.probability is None else answer.probability


if __name__ == "__main__":
    serve(_score, packages=("onnxruntime", "pillow", "numpy"))
