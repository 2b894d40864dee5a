"""Answers for a batch -> one self-contained HTML page: each case with its picture, the map over it, and why."""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from brainsift.bundle import Bundle
from brainsift.errors import InputError
from brainsift.image import DecodedImage
from brainsift.overlay import overlay
from brainsift.predict import Prediction
from brainsift.render import jpeg_uri, page_head, render, write_page
from brainsift.volume_answers import VolumeAnswer
from brainsift.volumes import read_slice

_PICTURES = 400  # a page with more is slow to open
_SIDE = 224


class Cases:
    """The answers of a batch as they come; only the most suspicious keep what a picture needs."""

    def __init__(self) -> None:
        self.answers: list[Prediction] = []
        self._pictured: list[tuple[float, int]] = []  # a heap, the least suspicious first

    def add(self, answer: Prediction) -> None:
        """Takes the next answer."""
        self.answers.append(answer)
        heapq.heappush(self._pictured, (answer.probability or 0.0, -len(self.answers)))
        if len(self._pictured) > _PICTURES:
            _, place = heapq.heappop(self._pictured)
            self.answers[-place - 1] = replace(self.answers[-place - 1], tumor_map=None)

    def write(self, volumes: Sequence[VolumeAnswer], bundle: Bundle, threshold: float, out: Path) -> None:
        """Writes the report; see `write_batch_report`."""
        write_batch_report(self.answers, volumes, bundle, threshold, out)


def write_batch_report(
    answers: Sequence[Prediction], volumes: Sequence[VolumeAnswer], bundle: Bundle, threshold: float, out: Path
) -> None:
    """Writes the report of a batch to ``out``, as a PDF where its name ends in .pdf; see `batch_report`.

    Raises:
        MissingExtraError: a PDF without the extra `pdf`.
    """
    write_page(out, batch_report(answers, volumes, bundle, threshold, lambda place: read_slice(answers[place].path)))


def batch_report(
    answers: Sequence[Prediction],
    volumes: Sequence[VolumeAnswer],
    bundle: Bundle,
    threshold: float,
    read: Callable[[int], DecodedImage],
) -> str:
    """Returns the report of a batch.

    Args:
        answers: of `Predictor.predict`; the files are read again for their pictures. The 400 most suspicious have one.
        volumes: of `summarise_volumes`.
        bundle: that answered.
        threshold: that was used.
        read: reads the image of an answer, by its place.
    """
    order = sorted(range(len(answers)), key=lambda place: -(answers[place].probability or 0.0))
    pictured = set(order[:_PICTURES])
    cases = [
        _case(answer, bundle.size if place in pictured else 0, partial(read, place))
        for place, answer in enumerate(answers)
    ]
    counts = Counter(answer.decision or answer.status for answer in answers)
    head = page_head({"title": f"Is there a tumor? {len(answers)} images"})
    context = {
        **head,
        "meta": f"{head['meta']}, network {bundle.name}, threshold {threshold:.3f}",
        "contents": [("cases", "Cases"), *([("volumes", "Volumes")] if volumes else [])],
        "counts": [(name, counts[name]) for name in ("tumor", "no_tumor", "refer", "unreadable")],
        "threshold": threshold,
        "cases": cases,
        "volumes": [volume.to_dict() for volume in volumes],
        "without_picture": max(len(answers) - _PICTURES, 0),
    }
    return render("batch.html.j2", context)


def _case(answer: Prediction, size: int, read: Callable[[], DecodedImage]) -> dict[str, Any]:
    uri = ""
    if size and answer.tumor_map is not None:
        try:
            uri = jpeg_uri(overlay(read().grey(), answer.tumor_map, size=size), side=_SIDE)
        except (InputError, OSError):  # gone since it was scored: the answer stands without a picture
            uri = ""
    return {**answer.to_dict(), "picture": uri, "name": Path(answer.path).name}
