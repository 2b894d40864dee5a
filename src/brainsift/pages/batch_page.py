"""The predictions of a batch as one self-contained page: each image with its tumor map, and why it was decided so."""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from brainsift.core.errors import InputError
from brainsift.images.data_uri import jpeg_uri
from brainsift.images.decode import DecodedImage
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Prediction
from brainsift.inference.overlay import overlay
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.pages.html import page_head, render, write_page
from brainsift.volumes.reader import read_slice

_CASES = 2000  # a page with more is slow to open
_PICTURES = 400
_SIDE = 224
_NAMES = {
    "tumor": "tumor",
    "no_tumor": "no tumor",
    "refer": "refer",
    "not_brain_mri": "not a brain MRI",
    "unreadable": "unreadable",
}


class Cases:
    """Collects the predictions of a batch for its report.

    All predictions are counted. The most suspicious are kept, and of those the most suspicious keep their tumor maps,
    so that what is in memory does not grow with their number.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[int, Prediction] = {}
        self._listed, self._pictured = _MostSuspicious(_CASES), _MostSuspicious(_PICTURES)

    @property
    def predictions(self) -> list[Prediction]:
        """The predictions that are kept, in order."""
        return list(self._kept.values())

    def add(self, prediction: Prediction) -> None:
        """Takes the next prediction."""
        place = self.counts.total()
        self.counts[_outcome(prediction)] += 1
        self._kept[place] = prediction
        dropped = self._pictured.add(prediction, place)
        if dropped is not None:
            self._kept[dropped] = replace(self._kept[dropped], tumor_map=None)
        dropped = self._listed.add(prediction, place)
        if dropped is not None:
            del self._kept[dropped]

    def write(self, volumes: Sequence[VolumePrediction], bundle: Bundle, threshold: float, out: Path) -> None:
        """Writes the report; see `write_batch_report`."""
        write_batch_report(self.predictions, volumes, bundle, threshold, out, counts=self.counts)


class _MostSuspicious:
    """The places of the most suspicious predictions so far, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[float, int]] = []  # the least suspicious first, and of equals the last

    def add(self, prediction: Prediction, place: int) -> int | None:
        """Takes a place; returns the place that is dropped for it, None below the limit."""
        heapq.heappush(self._heap, (_suspicion(prediction), -place))
        return -heapq.heappop(self._heap)[1] if len(self._heap) > self._limit else None


def write_batch_report(
    predictions: Sequence[Prediction],
    volumes: Sequence[VolumePrediction],
    bundle: Bundle,
    threshold: float,
    out: Path,
    *,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Writes the report of a batch to ``out``, as a PDF where its name ends in .pdf; see `batch_report`.

    Raises:
        MissingExtraError: a PDF without the extra `pdf`.
    """

    def read(place: int) -> DecodedImage:
        return read_slice(predictions[place].path)

    write_page(out, batch_report(predictions, volumes, bundle, threshold, read, counts=counts))


def batch_report(
    predictions: Sequence[Prediction],
    volumes: Sequence[VolumePrediction],
    bundle: Bundle,
    threshold: float,
    read: Callable[[int], DecodedImage],
    *,
    counts: Mapping[str, int] | None = None,
    margin: float = 0.0,
) -> str:
    """Returns the report of a batch as HTML.

    Args:
        predictions: of `Predictor.predict`; the files are read again for their pictures. The 2000 most suspicious are
            listed, and the 400 most suspicious have a picture.
        volumes: of `summarise_volumes`.
        bundle: that was used.
        threshold: that was used.
        read: reads the image of a prediction, by its place in the sequence.
        counts: of all predictions by decision, or status where not scored, if ``predictions`` are only some of them.
        margin: of the rule: logits nearer to 0 were referred.
    """
    counts = Counter(counts or map(_outcome, predictions))
    referred = f", logits nearer to 0 than {margin:.2f} are referred" if margin else ""
    network = f"network {bundle.name} {bundle.checksums()[bundle.network.name][:12]}"
    of_volumes = sorted({one.threshold for one in volumes} - {threshold})
    higher = "".join(f", of volumes {one:.3f} ({bundle.threshold_name(one)})" for one in of_volumes)
    rule = f"threshold {threshold:.3f} ({bundle.threshold_name(threshold)}){higher}{referred}"
    order = sorted(range(len(predictions)), key=lambda place: -_suspicion(predictions[place]))
    listed, pictured = sorted(order[:_CASES]), set(order[:_PICTURES])
    head = page_head({"title": f"Is there a tumor? {counts.total()} images"})
    context = {
        **head,
        "meta": f"{head['meta']}, {network}, {rule}",
        "contents": [("cases", "Cases"), *([("volumes", "Volumes")] if volumes else [])],
        "counts": [(name, counts[name]) for name in _NAMES],
        "names": _NAMES,
        "threshold": threshold,
        "cases": [
            _case(predictions[place], bundle.size if place in pictured else 0, partial(read, place)) for place in listed
        ],
        "volumes": [volume.to_dict() for volume in volumes],
        "how": bundle.volumes_in_words,
        "without_picture": len(listed) - len(pictured),
        "left_out": counts.total() - len(listed),
    }
    return render("batch.html.j2", context)


def _outcome(prediction: Prediction) -> str:
    return prediction.decision if prediction.status == "ok" else prediction.status


def _suspicion(prediction: Prediction) -> float:
    return prediction.probability or 0.0 if prediction.status == "ok" else -1.0


def _case(prediction: Prediction, size: int, read: Callable[[], DecodedImage]) -> dict[str, Any]:
    """Returns one row of the report; ``size`` is 0 for a row without a picture."""
    uri = ""
    if size and prediction.tumor_map is not None:
        try:
            tumor_map = prediction.tumor_map * (prediction.status == "ok")  # of what was rejected it says nothing
            uri = jpeg_uri(overlay(read().grey(), tumor_map, size=size), side=_SIDE)
        except (InputError, OSError):  # the file is gone since it was scored: the row stands without a picture
            uri = ""
    row = {**prediction.to_dict(), "picture": uri, "name": Path(prediction.path).name, "outcome": _outcome(prediction)}
    return row if prediction.status == "ok" else {**row, "probability": None}
