"""A client of DICOMweb services, DICOM PS3.18, with the standard library: STOW-RS, QIDO-RS and WADO-RS."""

import base64
import json
import os
import re
import secrets
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from brainsift.node.delivery import DeliveryError

_TIMEOUT_S = 60.0
_CHUNK = 1 << 20
_LARGEST_REPLY = 64 << 20
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_FAILED, _STORED, _INSTANCE, _REASON = "00081198", "00081199", "00081155", "00081197"
_SERIES_IMAGES = "00201209"
_BUSY = (408, 425, 429)


class DicomWeb:
    """A DICOMweb service of another machine. It follows no redirection and uses no proxy.

    Args:
        url: its root.
        token_variable: environment variable with a bearer token, or "".
        user: name for it, or "".
        password_variable: environment variable with the password, or "".
        authority: PEM file with the authority of its certificate; None: those of this system.
    """

    def __init__(
        self, url: str, *, token_variable: str, user: str, password_variable: str, authority: Path | None
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {}
        if token_variable:
            self._headers["Authorization"] = f"Bearer {os.environ.get(token_variable, '')}"
        elif user:
            secret = f"{user}:{os.environ.get(password_variable, '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirection()
        )

    def check(self) -> None:
        """Asks for nothing much, to see whether it is there; raises DeliveryError."""
        self.search("/studies", {"limit": "1"})

    def store(self, paths: Sequence[Path], uids: Sequence[str]) -> None:
        """Stores files.

        Args:
            paths: of DICOM files.
            uids: the SOPInstanceUID of each.

        Raises:
            DeliveryError: some were not stored.
        """
        boundary = secrets.token_hex(16)
        start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(start + path.read_bytes() + b"\r\n" for path in paths) + f"--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        reply = self._request("/studies", headers=headers, body=body)
        stored = {_first(item, _INSTANCE) for item in _items(reply, _STORED)}
        reasons = [int(_first(item, _REASON) or 0) for item in _items(reply, _FAILED)]
        if missing := [uid for uid in uids if uid not in stored]:
            codes = ", ".join(sorted({f"{reason:04X}" for reason in reasons})) or "no reason"
            later = not reasons or any(reason in _OUT_OF_RESOURCES for reason in reasons)
            raise DeliveryError(f"{len(missing)} of {len(uids)} objects were not stored: {codes}", permanent=not later)

    def search(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Searches by QIDO-RS; returns data sets in the JSON model.

        Raises:
            DeliveryError: it cannot be reached, or does not search.
        """
        address = f"{path}?{urllib.parse.urlencode(query)}"
        found = self._request(address, headers={"Accept": "application/dicom+json"})
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def holds(self, study: str, uid: str) -> bool:
        """Tells whether an object is there; raises as `search` does."""
        path = f"/studies/{urllib.parse.quote(study)}/instances"
        return any(_first(item, "00080018") == uid for item in self.search(path, {"SOPInstanceUID": uid}))

    def count(self, study: str, series: str) -> int | None:
        """Returns how many images a series has there; None where it does not say. Raises as `search` does."""
        path = f"/studies/{urllib.parse.quote(study)}/series"
        for item in self.search(path, {"SeriesInstanceUID": series, "includefield": _SERIES_IMAGES}):
            if (number := _first(item, _SERIES_IMAGES)) is not None:
                return int(number)
        return None

    def retrieve(self, study: str, series: str) -> Iterator[bytes]:
        """Yields the files of a series by WADO-RS.

        Raises:
            DeliveryError: it cannot be reached, or does not give them.
        """
        path = f"/studies/{urllib.parse.quote(study)}/series/{urllib.parse.quote(series)}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        with self._open(path, {"Accept": accept}) as reply, _failures():
            boundary = boundary_of(reply.headers.get("Content-Type", ""))
            if not boundary:
                raise DeliveryError("replied to WADO-RS with no multipart body", permanent=True)
            yield from parts_of(iter(lambda: reply.read(_CHUNK), b""), boundary)

    def _request(self, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Any:
        with self._open(path, headers, body) as reply, _failures():
            content = reply.read(_LARGEST_REPLY)
        try:
            return json.loads(content or b"[]")
        except ValueError:
            raise DeliveryError("replied with no JSON", permanent=False) from None

    def _open(self, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self._url}{path}", data=body, headers={**self._headers, **headers})
        with _failures():
            try:
                return self._opener.open(request, timeout=_TIMEOUT_S)
            except urllib.error.HTTPError as error:
                if error.code == 409 and body is not None:  # PS3.18, 10.5.3: the body says which objects failed
                    return error
                error.close()
                permanent = error.code < 500 and error.code not in _BUSY
                raise DeliveryError(f"replied with HTTP {error.code}", permanent=permanent) from None


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """A redirection is an error: it could lead patients' images anywhere."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


class _failures:  # noqa: N801 - a context manager
    """Turns errors of the network into ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, places: object) -> None:
        if isinstance(error, DeliveryError):
            return
        if isinstance(error, ssl.SSLError) or isinstance(getattr(error, "reason", None), ssl.SSLError):
            raise DeliveryError("its certificate is not accepted", permanent=False) from None
        if isinstance(error, OSError | ValueError) or type(error).__module__ == "http.client":
            raise DeliveryError(f"cannot be reached: {type(error).__name__}", permanent=False) from None


def boundary_of(content_type: str) -> bytes:
    """Returns what divides the parts of a multipart body; b"" where it is none.

    >>> boundary_of('multipart/related; type="application/dicom"; boundary="x-1"')
    b'x-1'
    """
    found = re.search(r'multipart/.*;\s*boundary="?([^";,\s]{1,200})"?', content_type, re.IGNORECASE)
    return found[1].encode("latin-1") if found else b""


def parts_of(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    r"""Yields the bodies of the parts of a multipart body that comes in chunks; one part is in memory at a time.

    Raises:
        ValueError: it ends in the middle of a part.

    >>> list(parts_of([b"--x\r\nA: b\r\n\r\none\r\n-", b"-x\r\n\r\ntwo\r\n--x--"], b"x"))
    [b'one', b'two']
    """
    mark, buffer, inside, start = b"\r\n--" + boundary, bytearray(b"\r\n"), False, 0
    for chunk in chunks:
        buffer += chunk
        while (end := buffer.find(mark, start)) >= 0 and len(buffer) >= end + len(mark) + 2:
            if inside:
                head, _, body = bytes(buffer[:end]).partition(b"\r\n\r\n")
                yield body
                del head
            inside = buffer[end + len(mark) : end + len(mark) + 2] != b"--"
            del buffer[: end + len(mark) + (0 if inside else 2)]
            start = 0
            if not inside:
                return
        start = max(0, len(buffer) - len(mark) - 2)
    if inside:
        raise ValueError("a multipart body ends in the middle of a part")


def _items(reply: Any, tag: str) -> list[dict[str, Any]]:
    """Returns the items of a sequence in the JSON model."""
    wholes = reply if isinstance(reply, list) else [reply]
    return [
        item
        for whole in wholes
        if isinstance(whole, dict) and isinstance(whole.get(tag), dict)
        for item in whole[tag].get("Value", [])
        if isinstance(item, dict)
    ]


def _first(item: Mapping[str, Any], tag: str) -> Any:
    """Returns the first value of an element in the JSON model; None where there is none."""
    values = item.get(tag, {}).get("Value") if isinstance(item.get(tag), dict) else None
    return values[0] if values else None
