"""Results on their way: each target by itself, again and again until they are there, or are refused for good."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainsift.node.delivery import DeliveryError
from brainsift.node.event_log import log_event
from brainsift.node.journal import Delivery, Journal
from brainsift.node.targets import Parcel, Partner

FIRST_S, LONGEST_S, GIVE_UP_S = 60.0, 3600.0, 7 * 86_400.0
"""After a failure the next attempt comes after a minute, then after twice as long, up to an hour, for seven days."""


class Outbox:
    """The deliveries to one target.

    Args:
        name: of the target.
        partner: what delivers.
        journal: with the deliveries.
        results: folder of the results.
        clock: s since 1970.
    """

    def __init__(
        self, name: str, partner: Partner, journal: Journal, results: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._name, self._partner, self._journal, self._results, self._clock = name, partner, journal, results, clock

    def deliver_due(self) -> int:
        """Attempts each delivery that is due, once; returns how many arrived."""
        arrived = 0
        for one in self._journal.deliveries(target=self._name, state="waiting", due=self._clock()):
            arrived += self._attempt(one)
        return arrived

    def _attempt(self, one: Delivery) -> bool:
        series = self._journal.numbered(one.series)
        facts: dict[str, Any] = {"series": series.name, "version": one.version, "target": self._name}
        try:
            self._partner.deliver(self._parcels(one, series.name))
        except DeliveryError as error:
            self._put_off(one, error, facts)
            return False
        except Exception as error:  # of a library, or of a file that is gone: it must not stop other deliveries
            log_event("delivery failed", level=logging.ERROR, error=error, **facts)
            self._put_off(one, DeliveryError(f"failed: {type(error).__name__}", permanent=False), facts)
            return False
        self._journal.update(one, "delivered", at=self._clock())
        log_event("results delivered", **facts)
        return True

    def _put_off(self, one: Delivery, error: DeliveryError, facts: dict[str, Any]) -> None:
        now = self._clock()
        given_up = not error.permanent and now - one.created >= GIVE_UP_S
        if error.permanent or given_up:
            words = f"{error.words} (given up after 7 days)" if given_up else error.words
            self._journal.update(one, "failed", at=now, error=words)
            log_event("delivery failed for good", level=logging.ERROR, why=words, **facts)
            return
        wait = min(FIRST_S * 2 ** min(one.attempts, 10), LONGEST_S)
        self._journal.update(one, "waiting", at=now, due=now + wait, error=error.words)
        log_event("delivery failed, to be tried again", level=logging.WARNING, why=error.words, wait_s=wait, **facts)

    def _parcels(self, one: Delivery, series: str) -> list[Parcel]:
        version = next(found for found in self._journal.versions(one.series) if found.number == one.version)
        return [Parcel.of(self._results / series / name) for name in version.files]
