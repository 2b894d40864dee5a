"""Answers for a batch -> one self-contained HTML page: each case with its picture, the map over it, and why."""

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


class Cases:
    """The answers of a batch as they come: all are counted, the most suspicious kept, fewer with what a picture needs.

    What is in memory does not grow with the number of answers.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[int, Prediction] = {}
        self._listed, self._pictured = _Foremost(_CASES), _Foremost(_PICTURES)

    @property
    def answers(self) -> list[Prediction]:
        """Those that are kept, in the order in which they came."""
        return list(self._kept.values())

    def add(self, answer: Prediction) -> None:
        """Takes the next answer."""
        place = self.counts.total()
        self.counts[_outcome(answer)] += 1
        self._kept[place] = answer
        fallen = self._pictured.add(answer, place)
        if fallen is not None:
            self._kept[fallen] = replace(self._kept[fallen], tumor_map=None)
        fallen = self._listed.add(answer, place)
        if fallen is not None:
            del self._kept[fallen]

    def write(self, volumes: Sequence[VolumePrediction], bundle: Bundle, threshold: float, out: Path) -> None:
        """Writes the report; see `write_batch_report`."""
        write_batch_report(self.answers, volumes, bundle, threshold, out, counts=self.counts)


class _Foremost:
    """Places of the most suspicious answers so far."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[float, int]] = []  # the least suspicious first, the latest of equals

    def add(self, answer: Prediction, place: int) -> int | None:
        """Takes a place, and returns the one that falls out for it."""
        heapq.heappush(self._heap, (_suspicion(answer), -place))
        return -heapq.heappop(self._heap)[1] if len(self._heap) > self._limit else None


def write_batch_report(
    answers: Sequence[Prediction],
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
        return read_slice(answers[place].path)

    write_page(out, batch_report(answers, volumes, bundle, threshold, read, counts=counts))


def batch_report(
    answers: Sequence[Prediction],
    volumes: Sequence[VolumePrediction],
    bundle: Bundle,
    threshold: float,
    read: Callable[[int], DecodedImage],
    *,
    counts: Mapping[str, int] | None = None,
) -> str:
    """Returns the report of a batch.

    Args:
        answers: of `Predictor.predict`; the files are read again for their pictures. The 2000 most suspicious are
            listed, and the 400 most suspicious have a picture.
        volumes: of `summarise_volumes`.
        bundle: that answered.
        threshold: that was used.
        read: reads the image of an answer, by its place.
        counts: of all answers by decision or status, where ``answers`` are only some of them.
    """
    counts = Counter(counts or map(_outcome, answers))
    order = sorted(range(len(answers)), key=lambda place: -_suspicion(answers[place]))
    listed, pictured = sorted(order[:_CASES]), set(order[:_PICTURES])
    head = page_head({"title": f"Is there a tumor? {counts.total()} images"})
    context = {
        **head,
        "meta": f"{head['meta']}, network {bundle.name}, threshold {threshold:.3f}",
        "contents": [("cases", "Cases"), *([("volumes", "Volumes")] if volumes else [])],
        "counts": [(name, counts[name]) for name in ("tumor", "no_tumor", "refer", "unreadable")],
        "threshold": threshold,
        "cases": [
            _case(answers[place], bundle.size if place in pictured else 0, partial(read, place)) for place in listed
        ],
        "volumes": [volume.to_dict() for volume in volumes],
        "without_picture": len(listed) - len(pictured),
        "left_out": counts.total() - len(listed),
    }
    return render("batch.html.j2", context)


def _outcome(answer: Prediction) -> str:
    return answer.decision or answer.status


def _suspicion(answer: Prediction) -> float:
    return answer.probability or 0.0


def _case(answer: Prediction, size: int, read: Callable[[], DecodedImage]) -> dict[str, Any]:
    uri = ""
    if size and answer.tumor_map is not None:
        try:
            uri = jpeg_uri(overlay(read().grey(), answer.tumor_map, size=size), side=_SIDE)
        except (InputError, OSError):  # gone since it was scored: the answer stands without a picture
            uri = ""
    return {**answer.to_dict(), "picture": uri, "name": Path(answer.path).name}
