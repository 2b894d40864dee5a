"""A client of `brainsift serve`, with the standard library alone.

>>> from brainsift.client import Client
>>> client = Client("http://127.0.0.1:8765")
>>> client.predict("slice.png")["answers"][0]["decision"]  # doctest: +SKIP
'no_tumor'
"""

import json
import secrets
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote, urlencode

from brainsift.errors import BrainsiftError, BusyError, ServeError, from_dict

Paths = str | Path | Sequence[str | Path]
Reply = dict[str, Any]
_WAIT_S = 15.0
_IN_MEMORY = 16 * 2**20


class Client:
    """Asks a running service.

    Args:
        url: of the service.
        token: that it wants, if any.
        timeout_s: for one request.
        patience_s: how long a busy service is asked again, each time after the seconds that it names.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8765",
        *,
        token: str | None = None,
        timeout_s: float = 150,
        patience_s: float = 0,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s, self._patience_s = timeout_s, patience_s

    def predict(self, paths: Paths, **wanted: str | float | bool) -> Reply:
        """Sends files and returns the answers; several DICOM files are a series.

        Args:
            paths: one or more files.
            **wanted: threshold, sensitivity, max_error, maps.

        Raises:
            BrainsiftError: what the service refuses, or a `ServeError` where it cannot be reached.
        """
        return self._post("/api/v1/predict", paths, wanted)

    def submit(self, paths: Paths, **wanted: str | float | bool) -> "RemoteJob":
        """Sends files and returns the job, which goes on by itself; takes and raises what `predict` does."""
        return RemoteJob(self, self._post("/api/v1/jobs", paths, wanted))

    def model(self) -> Reply:
        """Returns the network, its thresholds and its figures."""
        return self.get("/api/v1/model")

    def get(self, path: str) -> Reply:
        """Returns the JSON at a path.

        Raises:
            BrainsiftError: what the service refuses, or a `ServeError` where it cannot be reached.
        """
        return cast(Reply, json.loads(self.read(path)))

    def read(self, path: str, *, method: str = "GET") -> bytes:
        """Returns the bytes at a path; raises as `get` does."""
        return self._send(urllib.request.Request(self._url + path, method=method, headers=self._headers))

    def _post(self, path: str, paths: Paths, wanted: dict[str, str | float | bool]) -> Reply:
        query = urlencode({name: str(value).lower() for name, value in wanted.items()})
        files = [Path(one) for one in ([paths] if isinstance(paths, str | Path) else paths)]
        give_up = time.monotonic() + self._patience_s
        while True:
            with _multipart(files) as (body, boundary, size):
                kind = f"multipart/form-data; boundary={boundary}"
                headers = {**self._headers, "Content-Type": kind, "Content-Length": str(size)}
                request = urllib.request.Request(f"{self._url}{path}?{query}", data=body, headers=headers)
                try:
                    return cast(Reply, json.loads(self._send(request)))
                except BusyError as error:
                    if time.monotonic() + error.wait_s > give_up:
                        raise
                    time.sleep(error.wait_s)

    def _send(self, request: urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return cast(bytes, response.read())
        except urllib.error.HTTPError as error:
            raise _told(error) from None
        except OSError as error:
            words = f"cannot be reached: {getattr(error, 'reason', error)}"
            raise ServeError(self._url, words, "Start it with `brainsift serve`.") from None


class RemoteJob:
    """A job of the service.

    Args:
        client: that asks.
        reply: the service's first.
    """

    def __init__(self, client: Client, reply: Reply) -> None:
        self.id: str = reply["id"]
        self._client, self._path = client, f"/api/v1/jobs/{quote(reply['id'])}"

    def progress(self, after: int = 0, *, wait_s: float = 0) -> Reply:
        """Returns how far it is, and its answers from ``after`` on; waits for news if asked to."""
        return self._client.get(f"{self._path}?after={after}&wait={wait_s}")

    def result(self) -> Reply:
        """Waits until it is over and returns the answers.

        Raises:
            BrainsiftError: it failed, or was cancelled.
        """
        known = 0
        while (reply := self.progress(known, wait_s=_WAIT_S))["state"] in ("queued", "running"):
            known += len(reply["answers"])
        return self._client.get(f"{self._path}/result")

    def picture(self, place: int) -> bytes:
        """Returns the PNG of a slice."""
        return self._client.read(f"{self._path}/slices/{place}/picture.png")

    def map(self, place: int) -> bytes:
        """Returns the PNG of a slice's tumor map."""
        return self._client.read(f"{self._path}/slices/{place}/map.png")

    def delete(self) -> None:
        """Cancels it, and has the service forget it."""
        self._client.read(self._path, method="DELETE")


def _told(error: urllib.error.HTTPError) -> BrainsiftError:
    try:
        found = from_dict(json.loads(error.read()))
    except (ValueError, AttributeError):
        found = ServeError("service", f"answered {error.code} {error.reason}", "Is it `brainsift serve`?")
    if isinstance(found, BusyError):
        found.wait_s = int(error.headers.get("Retry-After", 1))
    return found


@contextmanager
def _multipart(files: Sequence[Path]) -> Iterator[tuple[IO[bytes], str, int]]:
    """Yields the body, its boundary and its size; large ones lie on the disk."""
    boundary = secrets.token_hex(16)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
        for path in files:
            name = path.name.replace("\\", "").replace('"', "")
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
            body.write(head.encode())
            with path.open("rb") as file:
                shutil.copyfileobj(file, body)
            body.write(b"\r\n")
        body.write(f"--{boundary}--\r\n".encode())
        size = body.tell()
        body.seek(0)
        yield body, boundary, size
