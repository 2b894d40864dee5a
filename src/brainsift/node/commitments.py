"""Replies to requests for storage commitment, DICOM PS3.4, annex J."""

import threading
from typing import Any

COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


class Commitments:
    """Replies to requests for storage commitment; they may come over another association than the request."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._replies: dict[str, list[str]] = {}

    def put(self, event: Any) -> int:
        """Takes an N-EVENT-REPORT; returns its status."""
        found = event.event_information
        failed = [str(item.ReferencedSOPInstanceUID) for item in found.get("FailedSOPSequence", None) or []]
        with self._changed:
            self._replies[str(found.TransactionUID)] = failed
            while len(self._replies) > 1000:  # nobody waits for the oldest any more
                self._replies.pop(next(iter(self._replies)))
            self._changed.notify_all()
        return 0x0000

    def wait(self, transaction: str, seconds: float) -> list[str] | None:
        """Returns the objects that are not committed; None where no reply came in time."""
        with self._changed:
            self._changed.wait_for(lambda: transaction in self._replies, seconds)
            return self._replies.pop(transaction, None)
