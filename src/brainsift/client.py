"""A client of `brainsift serve`; it needs the standard library only.

>>> from brainsift.client import Client
>>> client = Client("http://127.0.0.1:8765")
>>> found = client.predict("slice.png")["answers"][0]  # doctest: +SKIP
>>> found["decision"], found["reason"]  # doctest: +SKIP
('no_tumor', '')
"""

import json
import secrets
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote, urlencode, urlsplit

from brainsift.core.errors import BrainsiftError, BusyError, InputError, ServeError, UsageError, from_dict
from brainsift.serve.loopback import is_loopback

Paths = str | Path | Sequence[str | Path]
Reply = dict[str, Any]
_WAIT_S = 15.0
_IN_MEMORY = 16 * 2**20
_OTHER = "Check that `brainsift serve` listens at this address, and not a proxy or another program."


class Client:
    """A connection to a running service. To a service on this machine no proxy is used.

    Args:
        url: address of the service.
        token: its token, if it has one.
        timeout_s: longest time for one request, seconds.
        patience_s: how long to try again while the service is busy, seconds; each time it says when to try again.

    Raises:
        UsageError: the address or the token is not valid.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8765",
        *,
        token: str | None = None,
        timeout_s: float = 150,
        patience_s: float = 0,
    ) -> None:
        if token and not (token.isascii() and token.isprintable()):
            raise UsageError("token", "must be printable ASCII characters", "Leave out the line break at its end.")
        self._url, self._opener = url.rstrip("/"), _opener(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s, self._patience_s = timeout_s, patience_s

    def predict(self, paths: Paths, **wanted: str | float | bool) -> Reply:
        """Sends files and returns the predictions; several DICOM files can be a series.

        Args:
            paths: one or more files.
            **wanted: threshold, sensitivity, max_error, maps.

        Returns:
            The JSON of the service: ``answers`` has one entry per image or slice, ``volumes`` one per volume. Why an
            entry is unreadable, not a brain MRI, or referred stands as a code in ``reason`` (see
            `brainsift.core.reasons.Reason`) and in words in ``detail``.

        Raises:
            BrainsiftError: the error of the service, or a `ServeError` where it cannot be reached.
        """
        return self._post("/api/v1/predict", paths, wanted)

    def submit(self, paths: Paths, **wanted: str | float | bool) -> "RemoteJob":
        """Sends files and returns a job, which the service scores in the background; otherwise like `predict`."""
        return RemoteJob(self, self._post("/api/v1/jobs", paths, wanted))

    def model(self) -> Reply:
        """Returns the network, its thresholds and its figures."""
        return self.get("/api/v1/model")

    def get(self, path: str) -> Reply:
        """Returns the JSON at a path.

        Raises:
            BrainsiftError: the error of the service, or a `ServeError` where it cannot be reached.
        """
        return self._send_for_json(self._request(path))

    def read(self, path: str, *, method: str = "GET") -> bytes:
        """Returns the bytes at a path; raises as `get` does."""
        return self._send(self._request(path, method))

    def _request(self, path: str, method: str = "GET") -> urllib.request.Request:
        return urllib.request.Request(self._url + path, method=method, headers=self._headers)

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
                    return self._send_for_json(request)
                except BusyError as error:
                    if time.monotonic() + error.wait_s > give_up:
                        raise
                    time.sleep(error.wait_s)

    def _send_for_json(self, request: urllib.request.Request) -> Reply:
        try:
            return cast(Reply, json.loads(self._send(request)))
        except ValueError:
            raise ServeError(self._url, "replied with something that is not JSON", _OTHER) from None

    def _send(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return cast(bytes, response.read())
        except urllib.error.HTTPError as error:
            raise _error_in(error) from None
        except OSError as error:
            words = f"cannot be reached: {getattr(error, 'reason', error)}"
            raise ServeError(self._url, words, "Start it with `brainsift serve`.") from None
        except HTTPException as error:
            rule = f"replied only in part, or not in HTTP: {type(error).__name__}"
            raise ServeError(self._url, rule, _OTHER) from None


class RemoteJob:
    """A job of the service.

    Args:
        client: sends the requests.
        reply: the service's reply to the request for the job.
    """

    def __init__(self, client: Client, reply: Reply) -> None:
        self.id: str = reply["id"]
        self._client, self._path = client, f"/api/v1/jobs/{quote(reply['id'])}"

    def progress(self, after: int = 0, *, wait_s: float = 0) -> Reply:
        """Returns its progress and its predictions from ``after`` on; waits up to ``wait_s`` seconds for news."""
        return self._client.get(f"{self._path}?after={after}&wait={wait_s}")

    def result(self) -> Reply:
        """Waits until the job is done and returns all predictions, in the form of `Client.predict`.

        Raises:
            BrainsiftError: it failed, or was cancelled.
        """
        known = 0
        while (reply := self.progress(known, wait_s=_WAIT_S))["state"] in ("queued", "running"):
            known += len(reply["answers"])
        return self._client.get(f"{self._path}/result")

    def picture(self, place: int) -> bytes:
        """Returns the picture of a slice as PNG; slices count from 0."""
        return self._client.read(f"{self._path}/slices/{place}/picture.png")

    def map(self, place: int) -> bytes:
        """Returns the tumor map of a slice as PNG."""
        return self._client.read(f"{self._path}/slices/{place}/map.png")

    def delete(self) -> None:
        """Cancels the job; the service forgets it and removes its files."""
        self._client.read(self._path, method="DELETE")


def _opener(url: str) -> urllib.request.OpenerDirector:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise UsageError("url", f"must be an http address, not {url!r}", "For example: http://127.0.0.1:8765")
    # A proxy would get the images and the token, and 127.0.0.1 is another machine for it.
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(host) else []))


def _error_in(error: urllib.error.HTTPError) -> BrainsiftError:
    try:
        found = from_dict(json.loads(error.read()))
    except (ValueError, AttributeError, OSError, HTTPException):
        found = ServeError("service", f"replied {error.code} {error.reason}", _OTHER)
    if isinstance(found, BusyError):
        found.wait_s = _seconds(error.headers.get("Retry-After", ""))
    return found


def _seconds(retry_after: str) -> int:
    """Returns how many seconds to wait: the service says seconds, a proxy may give a date.

    >>> _seconds("7"), _seconds("Wed, 21 Oct 2015 07:28:00 GMT"), _seconds("soon")
    (7, 1, 1)
    """
    with suppress(ValueError):
        return int(retry_after)
    with suppress(ValueError):
        return max(1, round(parsedate_to_datetime(retry_after).timestamp() - time.time()))
    return 1


@contextmanager
def _multipart(files: Sequence[Path]) -> Iterator[tuple[IO[bytes], str, int]]:
    """Yields the body of a request, its boundary and its size; a large body is on the disk.

    Raises:
        InputError: a file cannot be read.
    """
    boundary = secrets.token_hex(16)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
        for path in files:
            head = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{_sent_name(path)}"\r\n\r\n'
            )
            body.write(head.encode())
            try:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, body)
            except OSError as error:
                raise InputError(path, f"cannot be read: {error.strerror}", "Check its path.") from None
            body.write(b"\r\n")
        body.write(f"--{boundary}--\r\n".encode())
        size = body.tell()
        body.seek(0)
        yield body, boundary, size


def _sent_name(path: Path) -> str:
    r"""Returns a name without line breaks that could end its header; quotes as browsers write them.

    >>> _sent_name(Path('a "b"\r\nX-Evil: 1.png'))
    'a %22b%22X-Evil: 1.png'
    """
    name = path.name.encode("utf-8", "replace").decode()
    return "".join(sign for sign in name if sign.isprintable()).replace("\\", "").replace('"', "%22")
