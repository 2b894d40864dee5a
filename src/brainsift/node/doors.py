"""Doors that fetch: a watched folder, and series of an archive by QIDO-RS and WADO-RS."""

import logging
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from brainsift.core.errors import RefusedObjectError
from brainsift.node.delivery import DeliveryError
from brainsift.node.dicomweb import DicomWeb
from brainsift.node.event_log import log_event
from brainsift.node.intake import NO_ROOM, Intake
from brainsift.node.settings import Pull, Watch

_STUDY, _SERIES, _IMAGES = "0020000D", "0020000E", "00201209"


class WatchedFolder:
    """Takes in the files of a folder, and removes those that it took in.

    Args:
        settings: the folder and its times.
        intake: gets the objects.
        count: is called with the outcome of each object.
        clock: s since 1970.
    """

    def __init__(
        self, settings: Watch, intake: Intake, *, count: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._intake, self._count, self._clock = settings, intake, count, clock
        self._refused: dict[Path, int] = {}

    def look(self) -> None:
        """Takes in each file that has settled; one that is refused stays, and is tried again when it changes."""
        for path in sorted(self._settings.folder.rglob("*")):
            try:
                status = path.stat()
                settled = self._clock() - status.st_mtime >= self._settings.settle_s
                wanted = not path.name.startswith(".") and path.suffix != ".part" and path.is_file()
                if not (wanted and settled) or self._refused.get(path) == status.st_mtime_ns:
                    continue
                self._count(self._intake.take(path.read_bytes(), door="folder").arrival)
                path.unlink()
            except RefusedObjectError as error:
                self._count("refused")
                log_event("file refused", level=logging.WARNING, why=error.rule, status=f"{error.status:04X}")
                if error.status == NO_ROOM:
                    return
                self._refused[path] = status.st_mtime_ns
            except OSError as error:  # it has gone meanwhile, or may not be read
                log_event("file not read", level=logging.WARNING, error=error)


class Puller:
    """Fetches the series that an archive lists and that are not here yet.

    Args:
        settings: the query.
        service: of the archive.
        intake: gets the objects.
        count: is called with the outcome of each object.
    """

    def __init__(self, settings: Pull, service: DicomWeb, intake: Intake, *, count: Callable[[str], None]) -> None:
        self._settings, self._service, self._intake, self._count = settings, service, intake, count
        self._fetched: dict[str, int] = {}

    def look(self) -> None:
        """Asks once, and fetches what is new or has more images than before."""
        today = date.today().strftime("%Y%m%d")
        query = {name: today if value == "today" else value for name, value in self._settings.query.items()}
        try:
            found = self._service.search("/series", {"Modality": "MR", "includefield": _IMAGES, **query})
            for item in found:
                study, series, images = (_value(item, tag) for tag in (_STUDY, _SERIES, _IMAGES))
                if study and series:
                    self._fetch(study, series, int(images or 0))
        except (DeliveryError, ValueError) as error:
            words = error.words if isinstance(error, DeliveryError) else "replied with a broken body"
            log_event("series not fetched", level=logging.WARNING, why=words)

    def _fetch(self, study: str, series: str, images: int) -> None:
        here = max(self._intake.journal.number_of_images(series), self._fetched.get(series, 0))
        if here and here >= images:
            return
        fetched = 0
        for content in self._service.retrieve(study, series):
            fetched += 1
            try:
                self._count(self._intake.take(content, door="pull").arrival)
            except RefusedObjectError as error:
                self._count("refused")
                log_event("object refused", level=logging.WARNING, why=error.rule, status=f"{error.status:04X}")
                if error.status == NO_ROOM:
                    return
        self._fetched[series] = max(fetched, images)  # what was refused is not fetched again and again


def _value(item: dict[str, object], tag: str) -> str:
    found = item.get(tag)
    values = found.get("Value") if isinstance(found, dict) else None
    return str(values[0]) if values else ""
