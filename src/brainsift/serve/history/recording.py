"""A job that is done -> cases of the history: images, and volumes with their slices."""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from brainsift.core.errors import BrainsiftError
from brainsift.inference.predictor import Prediction, Rule
from brainsift.inference.volume_decision import VolumeAnswer
from brainsift.serve.history.store import History, HistoryRow
from brainsift.serve.scoring.jobs import Job
from brainsift.serve.scoring.slice_pictures import map_png, picture_png

_log = logging.getLogger("brainsift.serve")
_AT_ONCE = 32  # rows with their pictures in memory


def record(history: History, job: Job, *, model: str, size: int) -> bool:
    """Keeps the answers of a job, in a hurry, as its answers wait; what cannot be kept is told to the log.

    Args:
        history: where to.
        job: that is done; its files are there, or the rows get no pictures.
        model: name and version of the network.
        size: side of the network's input, pixels.

    Returns:
        Whether all of them are kept.
    """
    try:
        for volume, places in _groups(job):
            (whole,) = history.record([_volume_row(job, volume, places, model)], hurry=True) if volume else (None,)
            rows = (_row(job, place, model, size if history.keeps_images else 0, whole) for place in places)
            while chunk := list(islice(rows, _AT_ONCE)):
                job.cases += history.record(chunk, hurry=True)
    except BrainsiftError as error:
        _log.error("history not written", extra={"facts": {"code": error.code, "why": error.rule}})
        return False
    return True


def _groups(job: Job) -> Iterator[tuple[VolumeAnswer | None, list[int]]]:
    """Yields the places of answers that belong together, with the answer for a volume of more than one slice."""
    volumes = iter(job.volumes())
    for name, group in groupby(range(len(job.answers)), key=lambda place: job.answers[place].volume):
        places = list(group)
        volume = next(volumes) if name else None
        yield volume if len(places) > 1 else None, places


def _volume_row(job: Job, volume: VolumeAnswer, places: Sequence[int], model: str) -> HistoryRow:
    status, decision, detail = "ok", volume.decision, ""
    if volume.probability is None:
        readable = any(job.answers[place].probability is not None for place in places)
        status, decision = ("not_brain_mri", decision) if readable else ("unreadable", "")
        detail = job.answers[places[0]].detail
    whole = Prediction(volume.volume, status, volume.probability, decision, detail)
    return _kept(whole, job.rule.of_volumes, model, slices=len(places))


def _row(job: Job, place: int, model: str, size: int, whole: int | None) -> HistoryRow:
    answer = job.answers[place]
    picture, drawn = _images(job, place, size) if size and answer.probability is not None else (None, None)
    return _kept(answer, job.rule, model, part_of=whole, picture_png=picture, map_png=drawn)


def _kept(answer: Prediction, rule: Rule, model: str, **more: Any) -> HistoryRow:
    probability = answer.probability
    return HistoryRow(
        name=answer.path,
        volume=answer.volume,
        status=answer.status,  # type: ignore[arg-type]
        probability=probability,
        decision=answer.decision,  # type: ignore[arg-type]
        leaning="" if probability is None else Rule(rule.threshold).decide(probability),  # type: ignore[arg-type]
        threshold=rule.threshold,
        margin=rule.margin,
        detail=answer.detail,
        model=model,
        **more,
    )


def _images(job: Job, place: int, size: int) -> tuple[bytes | None, bytes | None]:
    tumor_map = job.answers[place].tumor_map
    try:
        grey = job.read(place).grey()
    except (BrainsiftError, OSError):  # the service stops, and did not wait
        return None, None
    return picture_png(grey), None if tumor_map is None else map_png(grey, tumor_map, size=size)
