"""The work on a series: it is found complete, scored, and its results are made and handed to the targets."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from brainsift import __version__
from brainsift.core.errors import BrainsiftError
from brainsift.dicom_results.build import build_results
from brainsift.dicom_results.result_set import ResultOptions, ResultSet
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import VolumePrediction, summarise_volume
from brainsift.node.choice import choose, no_head_reason, title_of
from brainsift.node.delivery import DeliveryError
from brainsift.node.event_log import log_event
from brainsift.node.intake import Intake, sync_folder
from brainsift.node.journal import SeriesRow, VersionRow
from brainsift.node.settings import Settings
from brainsift.volumes.reader import slices_of
from brainsift.volumes.slices import Slice

_AGAIN_S = 60.0  # after a failure of the disk
_COUNT_EVERY_S = 5.0
MISSING_EARLIER = "images came after the earlier ones were removed here: send the whole series again"


@dataclass(frozen=True)
class Outcome:
    """What became of a series, for people.

    Attributes:
        series: which one.
        version: number of the version of its results.
        volumes: that were scored; their names are those of stacks, or descriptions without names of patients.
        reason: why there is no result; "" where there is one.
        title: number and description of a series that was not scored, as far as they are known.
    """

    series: SeriesRow
    version: int
    volumes: tuple[VolumePrediction, ...] = ()
    reason: str = ""
    title: str = ""


@dataclass(frozen=True)
class Scoring:
    """What is used to score.

    Attributes:
        predictor: with the bundle and the rule.
        options: which objects are made.
    """

    predictor: Predictor
    options: ResultOptions

    @property
    def digest(self) -> str:
        """Names the network, its rule and the options: where one of them is another, results are others."""
        key = [
            __version__,
            self.predictor.bundle.checksums(),
            self.predictor.bundle.temperature,
            asdict(self.predictor.rule),
            asdict(self.options),
        ]
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


class Worker:
    """Does what there is to do for the series in the journal, one series after the other.

    Args:
        settings: of the node.
        intake: with the images and the journal.
        scoring: what is used to score.
        sending: returns the names of the series of which an open association has sent images.
        count: asks an archive how many images a series has; None where nobody is asked.
        show: is called with what became of a series, before the journal says it. Where the process is killed in
            between, it is called again.
        clock: s since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        scoring: Scoring,
        *,
        sending: Callable[[], set[str]] = set,
        count: Callable[[str, str], int | None] | None = None,
        show: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._intake, self._journal, self._scoring = settings, intake, intake.journal, scoring
        self._sending, self._count, self._show, self._clock = sending, count, show, clock
        self._counted: dict[int, tuple[float, float, int | None]] = {}
        self._not_before: dict[int, float] = {}
        self._started = clock()  # while no node ran, nothing could come: that was no quiet time

    def begin(self) -> None:
        """Has series scored again whose images are still here and whose results another network made."""
        others = []
        for series in self._journal.series():
            versions = self._journal.versions(series.id)
            if versions and versions[-1].ended and versions[-1].network != self._scoring.digest:
                others.append(series.id)
        self._journal.rescore(others, at=self._clock())

    def step(self) -> int:
        """Works on each series that is complete; returns their number."""
        changed = self._journal.series(changed=True)
        # A process that was stopped in the middle of its work left these.
        started = [one for one in self._journal.series(state="scoring") if one.changed_since is None]
        done = 0
        for series in (*started, *changed):
            if self._clock() < self._not_before.get(series.id, 0.0):
                continue
            complete, forced = (True, False) if series.changed_since is None else self.complete(series)
            if complete:
                self._work(series, forced=forced)
                done += 1
        return done

    def complete(self, series: SeriesRow) -> tuple[bool, bool]:
        """Tells whether a series is scored now, and whether that is although it may not be complete."""
        now, settings = self._clock(), self._settings.series
        expected = self._expected(series, now)
        if expected is not None and len(self._journal.instances(series.id)) >= expected:
            return True, False
        quiet = now - max(series.last, self._started) >= settings.quiet_s and series.name not in self._sending()
        if quiet and expected is None:
            return True, False
        forced = now - (series.changed_since or now) >= settings.force_s
        return forced, forced

    def remove_old(self) -> None:
        """Removes images and results after their time."""
        now, keep = self._clock(), self._settings.keep
        for series in self._journal.series():
            if series.ended is None or series.changed_since is not None:
                continue
            if now - series.ended >= keep.source_hours * 3600:
                self._intake.remove_images(series)
            results = self._intake.folder / "results" / series.name
            if now - series.ended >= keep.result_days * 86_400 and results.exists():
                shutil.rmtree(results)

    def _expected(self, series: SeriesRow, now: float) -> int | None:
        """Returns how many images the archive has of a series; it is asked at most every few seconds."""
        if self._count is None or now - series.last < 1.0:
            return None if self._count is None else 2**31
        asked, last, found = self._counted.get(series.id, (0.0, 0.0, None))
        if last != series.last or now - asked >= _COUNT_EVERY_S:
            try:
                found = self._count(series.study, series.uid)
            except DeliveryError as error:
                log_event("the archive was not asked", level=logging.WARNING, series=series.name, why=error.words)
                found = None
            self._counted[series.id] = (now, series.last, found)
        return found

    def _work(self, series: SeriesRow, *, forced: bool) -> None:
        self._counted.pop(series.id, None)
        version = self._journal.begin_version(series.id, at=self._clock(), forced=forced, network=self._scoring.digest)
        if version is None:
            return
        facts: dict[str, Any] = {"series": series.name, "version": version.number}
        started = time.monotonic()
        try:
            reason = self._make(series, version)
        except OSError as error:  # the disk is full, for instance
            self._not_before[series.id] = self._clock() + _AGAIN_S
            log_event("series not scored, to be tried again", level=logging.ERROR, error=error, **facts)
            return
        except Exception as error:  # one series must not stop the others
            code = error.code if isinstance(error, BrainsiftError) else type(error).__name__
            log_event("series failed", level=logging.ERROR, error=error, **facts)
            self._end(Outcome(series, version.number, reason=f"could not be scored: {code}"), "failed")
            return
        self._intake.remove_replaced(series.name, series.id)
        took = round(time.monotonic() - started, 3)
        log_event("series skipped" if reason else "series scored", why=reason, seconds=took, **facts)

    def _make(self, series: SeriesRow, version: VersionRow) -> str:
        """Scores a series and makes its results; returns why there are none."""
        rows = self._journal.instances(series.id)
        outcome = Outcome(series, version.number)
        if any(one.file is None for one in rows):
            return self._end(replace(outcome, reason=MISSING_EARLIER), "failed", incomplete=True)
        folder = self._intake.folder / "series" / series.name
        paths, reason = choose([folder / str(one.file) for one in rows])
        if reason:
            title = title_of(list(slices_of(sorted(folder / str(one.file) for one in rows))))
            return self._end(replace(outcome, reason=reason, title=title), "skipped")
        volumes = self._score(paths)
        outcome = replace(outcome, volumes=tuple(_unsent(one, no_head_reason(one)) for one in volumes))
        heads = [one for one in volumes if not no_head_reason(one)]
        if not heads:
            unreadable = all(one.n_unreadable == one.n_slices for one in volumes)
            largest = max(volumes, key=lambda one: one.n_slices)
            reason = "no image could be read" if unreadable else no_head_reason(largest)
            return self._end(replace(outcome, reason=reason), "failed" if unreadable else "skipped")
        earlier = self._journal.versions(series.id)[:-1]
        made = [self._build(one, place, version, earlier) for place, one in enumerate(heads)]
        notes = [words for results in made for words in results.left_out]
        if not any(results.objects for results in made):
            reason = "; ".join(dict.fromkeys(notes)) or "no object could be made"
            unsent = tuple(_unsent(one, reason) for one in outcome.volumes)
            return self._end(replace(outcome, volumes=unsent, reason=reason), "failed")
        self._show(outcome)
        self._journal.publish(
            version,
            self._write(series, version, made),
            notes=notes,
            reports=[results.report.reference if results.report else None for results in made],
            targets=[one.name for one in self._settings.targets],
            at=self._clock(),
        )
        return ""

    def _end(self, outcome: Outcome, state: Literal["skipped", "failed"], *, incomplete: bool = False) -> str:
        """Records that a series got no results; returns why."""
        self._show(outcome)
        self._journal.end(outcome.series.id, state, outcome.reason, at=self._clock(), incomplete=incomplete)
        return outcome.reason

    def _score(self, paths: Sequence[Path]) -> list[VolumePrediction]:
        """Scores the volumes of a series, in the order of their slices; their names are titles for people."""
        predictor = self._scoring.predictor
        slices: dict[str, list[Slice]] = {}
        for piece in slices_of(sorted(paths)):
            slices.setdefault(piece.volume, []).append(piece)
        found: list[VolumePrediction] = []
        for pieces in slices.values():
            predictions = tuple(predictor.predict_slices(pieces))
            volume = summarise_volume(predictions, predictor.rule)
            title = title_of(pieces) or f"stack {len(found) + 1}" * (len(slices) > 1)
            found.append(replace(volume, volume=title, slices=predictions))
        return found

    def _build(
        self, volume: VolumePrediction, place: int, version: VersionRow, earlier: Sequence[VersionRow]
    ) -> ResultSet:
        reports = earlier[-1].reports if earlier else ()
        predecessor = reports[place] if place < len(reports) else None
        return build_results(
            volume,
            self._scoring.predictor.bundle,
            self._scoring.predictor.rule,
            when=datetime.fromtimestamp(version.made).astimezone(),
            version=version.number,
            predecessor=predecessor,
            forced=version.forced,
            options=self._scoring.options,
        )

    def _write(self, series: SeriesRow, version: VersionRow, made: Sequence[ResultSet]) -> list[str]:
        """Writes the objects of a version to the disk; returns their names in the folder of the series."""
        top = self._intake.folder / "results" / series.name
        names = []
        for place, results in enumerate(made, 1):
            folder = top / str(version.number) / str(place)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for one in results.objects:
                part = folder / f"{one.file_name}.part"
                with part.open("wb") as stream:
                    stream.write(one.content)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(folder / one.file_name)
                names.append(str((folder / one.file_name).relative_to(top)))
            for parent in (folder, folder.parent, top, top.parent):
                sync_folder(parent)
        return names


def _unsent(volume: VolumePrediction, reason: str) -> VolumePrediction:
    """Adds to the words on a volume that nothing was sent, where there is a reason for that."""
    words = [volume.detail, f"nothing was sent: {reason}"] if reason else [volume.detail]
    return replace(volume, detail="; ".join(filter(None, words)))


def options_of(settings: Settings) -> ResultOptions:
    """Returns which objects the settings want."""
    return ResultOptions(**asdict(settings.results))
