"""The checks and records for every request: its id, access, security headers, one line in the log, one count."""

import asyncio
import contextlib
import hmac
import json
import logging
import re
import secrets
import sys
import time
import traceback
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brainsift.core.errors import (
    AuthError,
    BrainsiftError,
    BusyError,
    ForbiddenError,
    ServeError,
    SlowError,
    UnavailableError,
    UploadError,
)
from brainsift.serve.config import MIB, ServeConfig
from brainsift.serve.loopback import is_loopback
from brainsift.serve.prometheus import Metrics

COOKIE = "brainsift_token"
_log = logging.getLogger("brainsift.serve")
_QUOTING = ("pydicom", "highdicom", "nibabel.global", "PIL", "python_multipart")  # their messages quote files
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{4,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
OPEN = ("/healthz", "/readyz")
_UNLOCKED = (*OPEN, "/page/page.css")  # the page that asks for the token needs its style
_TOKEN_PAGE = Path(__file__).parents[1] / "page" / "token.html"
_WRONG_TOKEN = re.compile(r' *<p class="reason".*</p>\n')
_DRAINED, _DRAIN_S = 256 * MIB, 3.0
_UPLOADS = ("/api/v1/predict", "/api/v1/jobs")  # they have a limit of their own
_BODY_BYTES = dict.fromkeys(("/api/v1/report.html", "/api/v1/dicom.zip"), MIB)  # they list slices
_CONTOUR = re.compile(r"/api/v1/history/\d+/contour")  # a mask
_SMALL = 64 * 1024  # bytes of any other body
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FRAMED_POLICY = _SECURITY_POLICY.replace(
    "frame-ancestors 'none'",
    "frame-ancestors http://127.0.0.1:* http://localhost:* https://127.0.0.1:* https://localhost:*",
)
_SECURITY_HEADERS = {
    "content-security-policy": _SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "Authorization, Content-Type, X-Request-Id",
    "access-control-max-age": "600",
}


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON; of an exception only where it came from, as its words may quote a file."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
        line.update(getattr(record, "facts", {}))
        if record.exc_info and record.exc_info[2]:
            line["places"] = [
                f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line)


def log_to_stderr() -> None:
    """Sends the service's log to standard error, and silences libraries whose messages quote files.

    What they warn of while a file is read stands in the answer for that file (`core.warned`).
    """
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for log in (_log, logging.getLogger("uvicorn.error")):
        log.handlers, log.propagate = [handler], False
    _log.setLevel(logging.INFO)


def error_response(error: BrainsiftError, request_id: str) -> JSONResponse:
    """Returns the JSON reply for an error; every error has this form."""
    headers = {"retry-after": str(error.wait_s)} if isinstance(error, BusyError) else {}
    if isinstance(error, AuthError):
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({**error.to_dict(), "request_id": request_id}, error.http_status, headers)


def too_large(path: str) -> UploadError:
    """Returns the error for a body that is larger than an address takes."""
    rule = f"is larger than {_most_bytes(path)} bytes"
    if _CONTOUR.fullmatch(path):
        return UploadError("contour", rule, "Draw a smoother contour: each piece of a row takes two numbers.")
    return UploadError("body", rule, "Send files to /api/v1/predict or /api/v1/jobs.")


def _most_bytes(path: str) -> int:
    """Returns the largest body that an address takes, if it takes no uploads."""
    return MIB if _CONTOUR.fullmatch(path) else _BODY_BYTES.get(path, _SMALL)


def bare_reply(error: BrainsiftError) -> JSONResponse:
    """Returns the reply for an error before there is a request; the connection ends with it."""
    request_id = secrets.token_hex(8)
    reply = error_response(error, request_id)
    reply.headers.update({"x-request-id": request_id, "connection": "close", **_SECURITY_HEADERS})
    return reply


class Gate:
    """Wraps the application: refuses requests that may not pass, and records all of them.

    Args:
        app: the application.
        config: the token, the address, the limit of time.
        metrics: counts requests.
        framed: whether pages of this machine may show those of the service in a frame.
    """

    def __init__(self, app: ASGIApp, *, config: ServeConfig, metrics: Metrics, framed: bool = False) -> None:
        self._app, self._config, self._metrics = app, config, metrics
        policy = _FRAMED_POLICY if framed else _SECURITY_POLICY
        self._security_headers = {**_SECURITY_HEADERS, "content-security-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Passage(self, scope, receive, send).run()

    def knows_host(self, headers: Headers) -> bool:
        """Tells whether a request names this machine, where only this machine may ask."""
        return not is_loopback(self._config.host) or is_loopback(_name_of(headers.get("host", "")))

    def refusal(self, scope: Scope, headers: Headers) -> BrainsiftError | None:
        """Returns why a request may not pass; None where it may."""
        host = headers.get("host", "")
        if not self.knows_host(headers):
            return ForbiddenError("Host", "is not a name of this machine", "Use localhost or 127.0.0.1.")
        origin = headers.get("origin")
        own = origin is None or _split(origin).netloc == host or origin == self._config.cors
        if not own and scope["method"] in _UNSAFE:
            return ForbiddenError("Origin", "is another website", "Use the page of this service.")
        path, length = scope["path"], headers.get("content-length", "")
        if path not in _UPLOADS and length.isdigit() and int(length) > _most_bytes(path):
            return too_large(path)
        if self._config.token and path not in _UNLOCKED and not self._has_token(scope, headers):
            remedy = "Send the header `Authorization: Bearer TOKEN`, or open /?token=TOKEN in a browser."
            return AuthError("token", "is missing or wrong", remedy)
        return None

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        found = [sent] if scheme.lower() == "bearer" else []
        found.append(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))
        if scope["path"] == "/":
            found += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        token = (self._config.token or "").encode()
        return any(hmac.compare_digest(one.strip().encode(), token) for one in found)  # in constant time


class _Passage:
    """One request, from its head to the end of its reply."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate, self._scope, self._receive, self._send = gate, scope, receive, send
        self._headers = Headers(scope=scope)
        sent = self._headers.get("x-request-id", "")
        self._id = sent if _SANE_ID.fullmatch(sent) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = self._id
        self._status, self._received, self._sent = 0, 0, 0
        length = self._headers.get("content-length", "0")
        self._more = "transfer-encoding" in self._headers or length != "0"  # whether more of the body is to come
        self._worth_draining = "expect" not in self._headers and length.isdigit() and int(length) <= _DRAINED
        self._started = time.perf_counter()

    async def run(self) -> None:
        """Replies, whatever happens."""
        try:
            if self._is_preflight:
                await Response(status_code=204, headers=_PREFLIGHT)(self._scope, self._receive, self._reply)
                return
            refusal = self._gate.refusal(self._scope, self._headers)
            if refusal:
                await self._refuse(refusal)
            else:
                await self._gate._app(self._scope, self._receive_limited, self._reply)
        except ClientDisconnect:
            self._status = self._status or 499
        except asyncio.CancelledError:  # the service stops, and its time is up
            self._status = self._status or UnavailableError.http_status
            raise
        except Exception as error:
            _log.exception("request failed", extra={"facts": {"request_id": self._id, "error": type(error).__name__}})
            if not self._status:
                remedy = "Tell the person who runs the service; the log has this request_id."
                failure = ServeError("request", f"failed: {type(error).__name__}", remedy)
                await error_response(failure, self._id)(self._scope, self._receive, self._reply)
        finally:
            self._record()

    @property
    def _is_other_site(self) -> bool:
        """Whether a page of the website that may use the service asks."""
        cors = self._gate._config.cors
        return cors is not None and self._headers.get("origin") == cors

    @property
    def _is_preflight(self) -> bool:
        """Whether a browser asks beforehand what that website may send; it sends no token with that."""
        asks = self._scope["method"] == "OPTIONS" and "access-control-request-method" in self._headers
        return asks and self._is_other_site and self._gate.knows_host(self._headers)

    async def _refuse(self, error: BrainsiftError) -> None:
        """Replies with an error; a browser that opens the page without a token gets a page that asks for it."""
        reply: Response = error_response(error, self._id)
        if (
            isinstance(error, AuthError)
            and self._scope["path"] == "/"
            and "text/html" in self._headers.get("accept", "")
        ):
            text = _TOKEN_PAGE.read_text(encoding="utf-8")
            tried = b"token=" in self._scope["query_string"]
            reply = HTMLResponse(text if tried else _WRONG_TOKEN.sub("", text), error.http_status)
        await reply(self._scope, self._receive, self._reply)

    async def _receive_limited(self) -> Message:
        message, path = await self._receive_more(), self._scope["path"]
        if path not in _UPLOADS and self._received > _most_bytes(path):
            raise HTTPException(UploadError.http_status)  # FastAPI lets no other kind of error through here
        return message

    async def _receive_more(self) -> Message:
        if self._more:  # the body may never end
            async with asyncio.timeout(max(0, self._started + self._gate._config.timeout_s - time.perf_counter())):
                message = await self._receive()
        else:
            message = await self._receive()
        self._received += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def _reply(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and message["status"] != SlowError.http_status:
                await self._drain()
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._id
            for name, value in self._gate._security_headers.items():
                headers[name] = value
            if self._gate._config.cors:
                headers.add_vary_header("Origin")
            if self._is_other_site:
                headers["access-control-allow-origin"] = self._headers["origin"]
                headers["access-control-expose-headers"] = "Location, Retry-After, X-Request-Id, X-Values, X-Window"
                headers["cross-origin-resource-policy"] = "cross-origin"
            headers.setdefault("cache-control", "no-store")
            if self._more:
                headers["connection"] = "close"
        self._sent += len(message.get("body", b""))
        async with asyncio.timeout(self._gate._config.timeout_s):  # the client may never read the reply
            await self._send(message)

    async def _drain(self) -> None:
        """Reads the rest of a body: a client that is still sending would not see why it was refused."""
        limit = self._received + _DRAINED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while self._more and self._worth_draining and self._received < limit:
                    await self._receive_more()

    def _record(self) -> None:
        route = getattr(self._scope.get("route"), "path", "") or "other"
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        seconds = time.perf_counter() - self._started
        self._gate._metrics.answered(method, route, self._status, seconds)
        facts = {"request_id": self._id, "method": method, "route": route, "status": self._status}
        sizes = {"ms": round(1000 * seconds, 1), "bytes_in": self._received, "bytes_out": self._sent}
        _log.info("request", extra={"facts": {**facts, **sizes}})


def _name_of(host: str) -> str:
    """Returns a Host header without its port.

    >>> _name_of("localhost:8765"), _name_of("[::1]:80"), _name_of("evil.example")
    ('localhost', '::1', 'evil.example')
    """
    return _split(f"//{host}").hostname or ""


def _split(address: str) -> SplitResult:
    """Splits an address; a malformed one has no parts."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
