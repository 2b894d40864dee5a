"""The log of a node: one line of JSON per event, without names, identifiers and accession numbers of patients."""

import logging
import sys
import threading
import warnings
from typing import Any

from brainsift.serve.http.middleware import JsonLines

_log = logging.getLogger("brainsift.node")
_QUOTING = ("pynetdicom", "pydicom", "highdicom", "nibabel.global", "PIL", "uvicorn", "fontTools", "weasyprint")


def log_event(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """Writes one line; of an error only its type and the places in the code, since its words may quote an image."""
    if error is not None:
        facts["error"] = type(error).__name__
    _log.log(level, event, extra={"facts": facts}, exc_info=error)


def log_to_stderr() -> None:
    """Sends the events to standard error, and silences the libraries whose messages and warnings quote images."""
    warnings.simplefilter("ignore")
    logging.captureWarnings(True)  # also of libraries that set filters of their own
    for name in (*_QUOTING, "py.warnings"):
        quoting = logging.getLogger(name)
        quoting.handlers, quoting.propagate = [logging.NullHandler()], False
        quoting.setLevel(logging.CRITICAL + 1)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    _log.handlers, _log.propagate = [handler], False
    _log.setLevel(logging.INFO)
    threading.excepthook = lambda found: log_event(
        "a thread failed", level=logging.ERROR, error=found.exc_value, thread=found.thread.name if found.thread else ""
    )
    sys.excepthook = lambda kind, error, places: log_event("failed", level=logging.CRITICAL, error=error)
