"""A job that is done -> rows of the history."""

import logging
from itertools import islice

from brainsift.errors import BrainsiftError
from brainsift.predict import Rule
from brainsift.serve.history import History, HistoryRow
from brainsift.serve.jobs import Job
from brainsift.serve.pictures import map_png, picture_png

_log = logging.getLogger("brainsift.serve")
_AT_ONCE = 32  # rows with their pictures in memory


def record(history: History, job: Job, *, model: str, size: int) -> None:
    """Keeps the answers of a job; what cannot be kept is told to the log, and the answers stand.

    Args:
        history: where to.
        job: that is done; its files are there, or the rows get no pictures.
        model: name and version of the network.
        size: side of the network's input, pixels.
    """
    rows = (_row(job, place, model, size if history.keeps_images else 0) for place in range(len(job.answers)))
    try:
        while chunk := list(islice(rows, _AT_ONCE)):
            job.cases += history.record(chunk)
    except BrainsiftError as error:
        _log.error("history not written", extra={"facts": {"code": error.code}})


def _row(job: Job, place: int, model: str, size: int) -> HistoryRow:
    answer, threshold = job.answers[place], job.rule.threshold
    leaning = "" if answer.probability is None else Rule(threshold).decide(answer.probability)
    picture, drawn = _images(job, place, size) if size and leaning else (None, None)
    return HistoryRow(
        name=answer.path,
        volume=answer.volume,
        status=answer.status,
        probability=answer.probability,
        decision=answer.decision,
        leaning=leaning,
        threshold=threshold,
        detail=answer.detail,
        model=model,
        picture_png=picture,
        map_png=drawn,
    )


def _images(job: Job, place: int, size: int) -> tuple[bytes | None, bytes | None]:
    tumor_map = job.answers[place].tumor_map
    try:
        grey = job.read(place).grey()
    except (BrainsiftError, OSError):  # the job was deleted meanwhile
        return None, None
    return picture_png(grey), None if tumor_map is None else map_png(grey, tumor_map, size=size)
