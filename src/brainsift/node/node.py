"""A running node: its doors, the work on series, and its outboxes, each in a thread of its own."""

import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from brainsift.core.environment import cores
from brainsift.core.errors import MissingExtraError
from brainsift.dicom_results.build import check_extras
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor
from brainsift.node.delivery import DeliveryError
from brainsift.node.doors import Puller, WatchedFolder
from brainsift.node.event_log import log_event
from brainsift.node.figures import Figures
from brainsift.node.intake import FolderLock, Intake
from brainsift.node.outbox import Outbox
from brainsift.node.page_record import PageRecord
from brainsift.node.receiver import Receiver
from brainsift.node.settings import Settings
from brainsift.node.targets import Commitments, Partner, open_target, web_service
from brainsift.node.web_door import WebDoor
from brainsift.node.worker import Scoring, Worker, options_of

_STEP_S, _OUTBOX_S, _CLEAN_S = 0.5, 1.0, 60.0


class Node:
    """Runs from when it is made until `stop`.

    Args:
        settings: all of them.

    Raises:
        UsageError: an address is taken, another node has the folder, or a file of the settings cannot be used.
        BundleError: the bundle cannot be used.
        MissingExtraError: without the extra `dicom`.
    """

    def __init__(self, settings: Settings) -> None:
        check_extra()
        self.settings, self._stopping = settings, threading.Event()
        self._lock = FolderLock(settings.folder)
        self.intake = Intake(settings.folder, reserve_mb=settings.keep.reserve_mb, object_mb=settings.dicom.object_mb)
        self.intake.sweep()
        self.figures = Figures(self.intake.journal, settings.folder)
        self.commitments = Commitments()
        partners = partners_of(settings, self.commitments)
        scoring = scoring_of(settings)
        self.receiver = Receiver(
            settings.dicom, self.intake, count=partial(self.figures.count, "dicom"), commitments=self.commitments
        )
        keep, show = settings.keep, None
        if keep.history:
            show = PageRecord(keep.history, keep_images=keep.history_images, predictor=scoring.predictor)
        count = partners[settings.series.count_from].count if settings.series.count_from else None
        self.worker = Worker(
            settings,
            self.intake,
            scoring,
            sending=self.receiver.sending,
            count=count,
            show=show if show else lambda outcome: None,
        )
        self.worker.begin()
        self.web = None
        if settings.web:
            self.web = WebDoor(
                settings.web,
                self.intake,
                self.figures,
                reserve_mb=settings.keep.reserve_mb,
                count=partial(self.figures.count, "web"),
            )
        self._threads = [
            self._thread("work", self.worker.step, _STEP_S),
            self._thread("cleaning", self.worker.remove_old, _CLEAN_S),
        ]
        results = settings.folder / "results"
        for name, partner in partners.items():
            outbox = Outbox(name, partner, self.intake.journal, results)
            self._threads.append(self._thread(f"outbox {name}", outbox.deliver_due, _OUTBOX_S))
        if settings.watch:
            watched = WatchedFolder(settings.watch, self.intake, count=partial(self.figures.count, "folder"))
            self._threads.append(self._thread("watch", watched.look, settings.watch.every_s))
        for number, pull in enumerate(settings.pull, 1):
            puller = Puller(pull, web_service(pull), self.intake, count=partial(self.figures.count, "pull"))
            self._threads.append(self._thread(f"pull {number}", puller.look, pull.every_s))

    def run(self) -> None:
        """Waits for SIGTERM or Ctrl-C, then stops."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda *_: self._stopping.set())
        log_event("node started", dicom_port=self.receiver.port, web_port=self.web.port if self.web else None)
        self._stopping.wait()
        log_event("node is stopping")
        self.stop()

    def stop(self) -> None:
        """Takes nothing more, and ends after what is being done at the moment."""
        self._stopping.set()
        self.receiver.stop()
        if self.web:
            self.web.stop()
        for thread in self._threads:
            thread.join(60)
        self.intake.journal.close()

    def _thread(self, name: str, step: Callable[[], object], every_s: float) -> threading.Thread:
        """Starts a thread that does a step again and again."""

        def loop() -> None:
            while not self._stopping.is_set():
                try:
                    step()
                except Exception as error:  # the next step may succeed: the disk was full, for instance
                    log_event("a step failed", level=logging.ERROR, error=error, thread=name)
                self._stopping.wait(every_s)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        return thread


@dataclass(frozen=True)
class Check:
    """What `check_partners` found.

    Attributes:
        target: name of the target.
        fault: why it does not reply; "" where it does.
    """

    target: str
    fault: str


def check_partners(settings: Settings) -> list[Check]:
    """Asks each target whether it is there: C-ECHO, or a search by QIDO-RS."""
    check_extra()
    found = []
    for name, partner in partners_of(settings, Commitments()).items():
        try:
            partner.check()
        except DeliveryError as error:
            found.append(Check(name, error.words))
        else:
            found.append(Check(name, ""))
    return found


def partners_of(settings: Settings, commitments: Commitments) -> dict[str, Partner]:
    """Returns what delivers to each target, by its name."""
    return {one.name: open_target(one, settings.dicom, commitments) for one in settings.targets}


def scoring_of(settings: Settings) -> Scoring:
    """Loads the network."""
    network = settings.network
    check_extras(options_of(settings))
    bundle = load_bundle(network.bundle) if network.bundle else load_bundle()
    threads = network.threads or max(1, cores() - 1)  # one core is left for what comes in
    return Scoring(Predictor(bundle, threshold=network.threshold or None, threads=threads), options_of(settings))


def check_extra() -> None:
    """Raises MissingExtraError without the extra `dicom`."""
    for package in ("pynetdicom", "highdicom"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            raise MissingExtraError.of("node", package, "dicom") from None
