"""Bundle and images to predictions; needs no torch.

Files are decoded by threads while the network works on the batch before; what is in memory does not grow with the
number of files, and the order of the answers is that of the files.
"""

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from brainsift.bundle import Bundle
from brainsift.environment import cores
from brainsift.errors import BrainsiftError, InputError
from brainsift.files import replacing
from brainsift.labels import CLASS_NAMES
from brainsift.preprocess import network_input, preprocess

EXTENSIONS = frozenset([".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"])
_BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: as given.
        status: "ok" or "unreadable".
        probability: calibrated probability of tumor; None where unreadable.
        decision: "tumor", "no_tumor", or "" where unreadable.
        detail: why an image is unreadable.
    """

    path: str
    status: str
    probability: float | None
    decision: str
    detail: str = ""


class Predictor:
    """A loaded network.

    Args:
        bundle: from `load_bundle`.
        threshold: one of the bundle's, by name.
        threads: for decoding and for the network; 0 for all cores.
    """

    def __init__(self, bundle: Bundle, *, threshold: str = "balanced", threads: int = 0) -> None:
        self.bundle = bundle
        self.threshold = bundle.thresholds[threshold]
        self.threads = threads or cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        self._session = onnxruntime.InferenceSession(str(bundle.network), options, providers=["CPUExecutionProvider"])

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Returns the calibrated probability of tumor, (n,), of preprocessed pixels (n, size, size[, 3])."""
        (logits,) = self._session.run(["logits"], {"images": network_input(pixels)})
        return 1 / (1 + np.exp(-logits.astype(np.float64) / self.bundle.temperature))

    def predict(self, paths: Iterable[str | Path]) -> Iterator[Prediction]:
        """Yields one answer a file, in order; a file that cannot be read is reported, never fatal."""
        names = iter(paths)
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[tuple[str, Future[npt.NDArray[np.uint8] | BrainsiftError]]] = deque()
            while True:
                for path in islice(names, max(2 * _BATCH - len(waiting), 0)):
                    waiting.append((str(path), pool.submit(self._read, path)))
                if not waiting:
                    return
                yield from self._answer([waiting.popleft() for _ in range(min(_BATCH, len(waiting)))])

    def _read(self, path: str | Path) -> npt.NDArray[np.uint8] | BrainsiftError:
        try:
            return preprocess(path, preprocessing=self.bundle.preprocessing, size=self.bundle.size)
        except InputError as error:
            return error

    def _answer(
        self, jobs: Sequence[tuple[str, "Future[npt.NDArray[np.uint8] | BrainsiftError]"]]
    ) -> Iterator[Prediction]:
        read = [(path, future.result()) for path, future in jobs]
        pixels = [image for _, image in read if not isinstance(image, BrainsiftError)]
        answers = iter(self.probabilities(np.stack(pixels)) if pixels else ())
        for path, image in read:
            if isinstance(image, BrainsiftError):
                yield Prediction(path, "unreadable", None, "", f"{image.rule}. {image.remedy}")
            else:
                probability = float(next(answers))
                decision = CLASS_NAMES[probability >= self.threshold]
                yield Prediction(path, "ok", round(probability, 6), decision)


def find_images(paths: Iterable[str | Path]) -> Iterator[str]:
    """Yields the files among ``paths`` as they are and the images in the folders, sorted.

    Raises:
        InputError: a path that does not exist, or a folder without images.
    """
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS)
            if not found:
                raise InputError(path, "holds no image", f"Images end in {', '.join(sorted(EXTENSIONS))}.")
            yield from map(str, found)
        elif path.exists():
            yield str(path)
        else:
            raise InputError(path, "does not exist", "Check the path.")


def write_csv(predictions: Iterable[Prediction], path: Path) -> None:
    """Writes a table, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Prediction)])
        writer.writeheader()
        writer.writerows(map(asdict, predictions))


def write_json_list(predictions: Iterable[Prediction], path: Path) -> None:
    """Writes a JSON array, an answer a line, whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for index, prediction in enumerate(predictions):
            file.write(",\n " if index else "\n ")
            json.dump(asdict(prediction), file, ensure_ascii=False)
        file.write("\n]\n")
