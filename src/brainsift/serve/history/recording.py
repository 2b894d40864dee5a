"""Records what was scored as cases of the history: images, and volumes with their slices."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, islice
from typing import Protocol

from brainsift.core.errors import BrainsiftError
from brainsift.inference.cautions import cautions_of
from brainsift.inference.decision import Prediction, Rule
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.serve.history.store import History, HistoryRow
from brainsift.serve.scoring.slice_pictures import map_png, picture_png
from brainsift.volumes.acquisition import Acquisition
from brainsift.volumes.planes import grid_of
from brainsift.volumes.slices import Loaded

_log = logging.getLogger("brainsift.serve")
_AT_ONCE = 32  # rows with their pictures in memory


class Scored(Protocol):
    """What can be recorded: a job of the service, or a series of a node.

    Attributes:
        rule: that decided them.
        cases: gets the numbers of its cases.
    """

    rule: Rule
    cases: list[int]

    def results(self) -> tuple[list[Prediction], list[VolumePrediction]]:
        """Returns the predictions for its slices, in order, and for the volumes that they belong to."""

    def load(self, place: int) -> Loaded:
        """Reads a slice."""

    def acquisition(self, place: int) -> Acquisition:
        """Returns what the header of a slice says of it."""


def record(history: History, job: Scored, *, model: str, size: int) -> bool:
    """Records the predictions of a job, without long waits for other programs; logs what cannot be recorded.

    Args:
        history: where to.
        job: what was scored; without its files the rows get no pictures.
        model: name and version of the network.
        size: side of the network's input, pixels.

    Returns:
        Whether all predictions are recorded.
    """
    predictions, of_volumes = job.results()
    volumes = iter(of_volumes)
    try:
        for name, group in groupby(enumerate(predictions), key=lambda pair: pair[1].volume):
            slices, whole = list(group), None
            volume = next(volumes) if name else None
            if volume and len(slices) > 1:
                row = _volume_row(volume, slices[0][1], job.rule.of_volumes, model)
                acquisitions = [job.acquisition(place) for place, _ in slices]
                row = replace(_of_study(row, acquisitions[0]), grid=grid_of(acquisitions, name))
                (whole,) = history.record([row], hurry=True)
            rows = _slice_rows(job, slices, whole, model=model, size=size if history.keeps_images else 0)
            while chunk := list(islice(rows, _AT_ONCE)):
                job.cases += history.record(chunk, hurry=True)
    except BrainsiftError as error:
        _log.error("history not written", extra={"facts": {"code": error.code, "why": error.rule}})
        return False
    return True


def listed_row(volume: VolumePrediction, rule: Rule, model: str) -> HistoryRow:
    """Returns the row by which a volume is listed once it is recorded: of the whole, or of its only slice.

    Args:
        volume: with its slices.
        rule: that decided them.
        model: name and version of the network.
    """
    first = volume.slices[0]
    return _volume_row(volume, first, rule.of_volumes, model) if len(volume.slices) > 1 else _row(first, rule, model)


def _volume_row(volume: VolumePrediction, first: Prediction, rule: Rule, model: str) -> HistoryRow:
    """Returns the row of a volume as a whole; where no slice could be scored, the first slice says why."""
    suspicious = volume.finding if volume.state == "suspicious" else ""
    detail = "; ".join(filter(None, (suspicious, volume.detail)))
    whole = Prediction(volume.volume, "ok", volume.logit, volume.decision, volume.reason, detail)
    if volume.logit is None:
        unreadable = volume.n_unreadable == volume.n_slices
        why = first.detail.removesuffix(first.note).removesuffix("; ")
        whole = replace(whole, status="unreadable" if unreadable else "not_brain_mri", reason=first.reason)
        detail = "; ".join(filter(None, (why, volume.detail)))
        whole = replace(whole, decision="" if unreadable else "refer", detail=detail)
    row = replace(_row(whole, rule, model), slices=volume.n_slices)
    if volume.probability is None:
        return row
    return replace(row, probability=volume.probability, leaning=rule.lean(volume.probability))  # not by way of a logit


def _slice_rows(
    job: Scored, slices: list[tuple[int, Prediction]], whole: int | None, *, model: str, size: int
) -> Iterator[HistoryRow]:
    """Yields the rows of images or of the slices of a volume, with pictures where ``size`` is not 0."""
    for place, prediction in slices:
        picture = drawn = shown = None
        if size and prediction.logit is not None:
            try:
                grey = job.load(place).image.grey()
            except (BrainsiftError, OSError):  # the service stops, and removed the file
                pass
            else:
                tumor_map = prediction.tumor_map
                shown = grey.shape[1], grey.shape[0]
                picture = picture_png(grey)
                drawn = None if tumor_map is None else map_png(grey, tumor_map, size=size)
        acquisition = job.acquisition(place)
        yield replace(
            _of_study(_row(prediction, job.rule, model), acquisition),
            part_of=whole,
            geometry=acquisition.geometry,
            size=shown,
            grid=None if whole else acquisition.grid,
            picture_png=picture,
            map_png=drawn,
            cautions=tuple(cautions_of(acquisition)),
            has_focus=prediction.has_focus,
        )


def _of_study(row: HistoryRow, acquisition: Acquisition) -> HistoryRow:
    """Returns a row with the patient and the study that a header names."""
    return replace(row, patient=acquisition.patient, study_date=acquisition.study_date)


def _row(prediction: Prediction, rule: Rule, model: str) -> HistoryRow:
    return HistoryRow(
        name=prediction.path,
        volume=prediction.volume,
        status=prediction.status,
        probability=prediction.probability,
        decision=prediction.decision,
        leaning="" if prediction.probability is None else rule.lean(prediction.probability),
        threshold=rule.threshold,
        margin=rule.margin,
        reason=prediction.reason,
        detail=prediction.detail,
        model=model,
    )
