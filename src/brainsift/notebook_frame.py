"""Cases in a notebook, as the page of `brainsift serve` shows them: `brainsift.show`."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from brainsift.client import Client
from brainsift.core.errors import ServeError, UsageError
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.decision import Prediction, log_odds
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.volumes.inputs import find_images

_PATIENCE_S = 60.0
_SAME_LOGIT = 1e-3  # the same network on the same file: batches of another size differ in the last digits

_servers: dict[Path, tuple[subprocess.Popen[str], str]] = {}  # by the folder of the bundle; with the address
_lock = threading.Lock()


@dataclass(frozen=True)
class Shown:
    """What `show` returns: a notebook shows it as a frame with the page.

    Attributes:
        url: address of the page with the cases; works as long as the Python process runs.
        height: of the frame, pixels.
    """

    url: str
    height: int

    def _repr_html_(self) -> str:
        """Returns the frame, and a link for where a frame cannot be shown."""
        url = escape(self.url, quote=True)
        return (
            f'<iframe src="{url}" title="brainsift" width="100%" height="{self.height}" '
            f'style="border: 1px solid #8884"></iframe><p><a href="{url}" target="_blank" rel="noopener">'
            "Open in a tab</a>. If nothing is shown, Python runs on another machine or has ended.</p>"
        )


def show(
    what: str | Path | Sequence[str | Path] | Prediction | VolumePrediction,
    *,
    bundle: str | Path = SHIPPED,
    height: int = 680,
) -> Shown:
    """Opens cases in a notebook with picture, tumor map, threshold and tools, as on the page of `brainsift serve`.

    The files are scored again, by a service that only this machine can reach. It ends with this Python process.

    Args:
        what: files or folders, or a prediction: then the file that it was made from.
        bundle: folder of the network; for a prediction, the one that made it.
        height: of the frame in the notebook, pixels.

    Raises:
        InputError: a file cannot be read.
        BundleError: the folder holds no bundle.
        UsageError: the files of a prediction are not known, or the network gives another result for them.
        ServeError: the service does not start.
    """
    files = _files_of(what)
    url = _serve(Path(bundle).resolve())
    job = Client(url, patience_s=_PATIENCE_S).submit(files)
    if isinstance(what, Prediction | VolumePrediction):
        _check_same(what, job.result())
    return Shown(f"{url}/#/job/{job.id}", height)


def _files_of(what: str | Path | Sequence[str | Path] | Prediction | VolumePrediction) -> list[str]:
    if isinstance(what, Prediction):
        return [_file_of(what.path)]
    if isinstance(what, VolumePrediction):
        if not what.slices and not Path(what.volume).is_file():
            rule = f"of {what.volume} does not hold the names of its files"
            raise UsageError("prediction", rule, "Give show() the folder of the series.")
        return list(dict.fromkeys(_file_of(one.path) for one in what.slices)) or [what.volume]
    return list(find_images([what] if isinstance(what, str | Path) else what))


def _file_of(path: str) -> str:
    """Returns the file of a slice, which has a number behind it."""
    return path if Path(path).exists() else path.rpartition("#")[0] or path


def _check_same(made: Prediction | VolumePrediction, reply: dict[str, Any]) -> None:
    """Refuses to show a result that is not the one that was given.

    Raises:
        UsageError: the network gives another result for the files.
    """
    if isinstance(made, Prediction):
        name = Path(made.path).name
        logits = [one["logit"] for one in reply["answers"] if one["name"] == name]
    else:
        probabilities = [one["exact_probability"] for one in reply["volumes"]]
        logits = [None if one is None else log_odds(one) for one in probabilities]
    if not any(_is_same(one, made.logit) for one in logits):
        rule = "gives another result for these files than the prediction that is to be shown"
        raise UsageError("bundle", rule, "Give the folder of the network that made it, or give show() the files.")


def _is_same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < _SAME_LOGIT


def _serve(bundle: Path) -> str:
    """Returns the address of the service for a bundle; starts it where none runs.

    Raises:
        ServeError: it does not start.
    """
    with _lock:
        process, url = _servers.get(bundle, (None, ""))
        if process is None or process.poll() is not None:
            process, url = _started(bundle)
            _servers[bundle] = process, url
        return url


def _started(bundle: Path) -> tuple[subprocess.Popen[str], str]:
    load_bundle(bundle)  # its errors are told here
    process = subprocess.Popen(
        [sys.executable, "-m", "brainsift.serve.http.framed", str(bundle)],
        stdin=subprocess.PIPE,  # it ends when this ends
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # an interrupted cell does not interrupt it
    )
    url = process.stdout.readline().strip() if process.stdout else ""
    if not url:
        process.kill()
        process.wait()
        rule = "for the notebook did not start"
        raise ServeError("service", rule, f"Run `brainsift serve --bundle {bundle}`, which says why.")
    return process, url
