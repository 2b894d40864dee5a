"""Each series that was scored, skipped or failed becomes a case of a history, which `brainsift serve --keep` shows."""

import logging
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from brainsift import __version__
from brainsift.core.errors import BrainsiftError
from brainsift.core.reasons import Reason
from brainsift.inference.decision import Prediction, Rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.node.event_log import log_event
from brainsift.node.worker import Outcome
from brainsift.serve.history.recording import listed_row, record
from brainsift.serve.history.store import Case, History, HistoryRow, Kept
from brainsift.volumes.acquisition import UNKNOWN, Acquisition
from brainsift.volumes.reader import find_slice
from brainsift.volumes.slices import Loaded

_SHOWN = 12  # letters of the name of a series, of 24
_WAITS_S = (1, 2, 4, 8, 16)  # between attempts, while another program holds the history


class PageRecord:
    """Records what became of series.

    Args:
        folder: of the history.
        keep_images: whether pictures are kept as well.
        predictor: that scores.

    Raises:
        HistoryError: the folder cannot be written, or its file is of another program or version.
    """

    def __init__(self, folder: Path, *, keep_images: bool, predictor: Predictor) -> None:
        self._history, self._predictor = History(folder, keep_images=keep_images), predictor
        self._model = f"{predictor.bundle.name} {__version__}"

    def __call__(self, outcome: Outcome) -> None:
        """Records a case per volume, or one that says why there is none; what cannot be recorded is logged.

        Another program may hold the history for a while, so it is tried for half a minute.
        """
        for wait_s in _WAITS_S:
            if self._record(outcome):
                return
            time.sleep(wait_s)
        if not self._record(outcome):
            log_event("series not in the history", level=logging.ERROR, series=outcome.series.name)

    def _record(self, outcome: Outcome) -> bool:
        """Tries to record an outcome; returns whether all of it is in the history.

        The work on a series is done again where the process was killed before the journal knew of its end, and then
        this is called again: a case that is there already stays, and what else is there of the same version goes,
        unless a reader has judged it.
        """
        name = f"series {outcome.series.name[:_SHOWN]} v{outcome.version}"
        stale: list[int] = []
        missing = [_Scored.of(name, one, self._predictor.rule) for one in outcome.volumes]
        unscored = [] if missing else [self._unscored(name, outcome)]
        try:
            for case in self._history.named(name):
                same = [one for one in missing if self._is(case, listed_row(one.volume, one.rule, self._model))]
                told = [row for row in unscored if self._is(case, row)]
                if same or told:
                    missing = [one for one in missing if one not in same]
                    unscored = [row for row in unscored if row not in told]
                elif case.verdict is None:
                    stale.append(case.id)
            self._history.record(unscored)
            size = self._predictor.bundle.size
            complete = all(record(self._history, one, model=self._model, size=size) for one in missing)
            for number in stale:
                self._history.delete(number)
        except BrainsiftError as error:
            log_event("history not written", level=logging.ERROR, error=error, series=outcome.series.name)
            return False
        return complete

    def _is(self, case: Case, row: HistoryRow) -> bool:
        """Tells whether a case says what a row says, and has all of its slices."""
        alike = all(getattr(case, one.name) == getattr(row, one.name) for one in fields(Kept))
        return alike and len(self._history.slices(case.id)) == row.slices

    def _unscored(self, name: str, outcome: Outcome) -> HistoryRow:
        """Returns the row of a series without a result."""
        rule = self._predictor.rule.of_volumes
        return HistoryRow(
            name=" ".join(filter(None, (name, outcome.title))),
            volume="",
            status="unreadable",
            probability=None,
            decision="",
            leaning="",
            threshold=rule.threshold,
            detail=f"Nothing was sent: {outcome.reason}",
            model=self._model,
            margin=rule.margin,
            reason=Reason.NOT_TAKEN,
        )


@dataclass
class _Scored:
    """A volume as `record` takes it, with names for readers, and the paths of its slices."""

    volume: VolumePrediction
    paths: list[str]
    rule: Rule
    cases: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, volume: VolumePrediction, rule: Rule) -> "_Scored":
        shown = " ".join(filter(None, (name, volume.volume)))
        slices = tuple(
            replace(one, path=f"{shown}, slice {place}", volume=shown) for place, one in enumerate(volume.slices, 1)
        )
        return cls(replace(volume, volume=shown, slices=slices), [one.path for one in volume.slices], rule)

    def results(self) -> tuple[list[Prediction], list[VolumePrediction]]:
        return list(self.volume.slices), [self.volume]

    def load(self, place: int) -> Loaded:
        return find_slice(self.paths[place]).load()

    def acquisition(self, place: int) -> Acquisition:
        try:
            return find_slice(self.paths[place]).acquisition
        except BrainsiftError:  # the file is gone: the case is kept without cautions
            return UNKNOWN
