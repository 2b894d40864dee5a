"""What every request passes: its id, who may ask, headers for safety, one line in the log, one count."""

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
import warnings
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
_TALKATIVE = ("pydicom", "nibabel.global", "PIL", "python_multipart")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{4,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
OPEN = ("/healthz", "/readyz")
_UNLOCKED = (*OPEN, "/page/page.css")  # the page that asks for the token has its looks
_ASK = Path(__file__).parents[1] / "page" / "token.html"
_WRONG = re.compile(r' *<p class="reason".*</p>\n')
_DRAINED, _DRAIN_S = 256 * MIB, 3.0
_UPLOADS = ("/api/v1/predict", "/api/v1/jobs")  # which count for themselves
_SMALL = 64 * 1024  # bytes of any other body
TOO_LARGE = UploadError("body", f"is larger than {_SMALL} bytes", "Files go to /api/v1/predict or /api/v1/jobs.")
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SAFETY = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON; of an exception its kind and its places, not its words."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        told = {"time": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
        told.update(getattr(record, "facts", {}))
        if record.exc_info and record.exc_info[2]:
            told["places"] = [f"{one.name}:{one.lineno}" for one in traceback.extract_tb(record.exc_info[2])]
        return json.dumps(told)


def log_to_stderr() -> None:
    """Sends the service's log to standard error, and silences libraries that quote what they read."""
    warnings.simplefilter("ignore")
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for log in (_log, logging.getLogger("uvicorn.error")):
        log.handlers, log.propagate = [handler], False
    _log.setLevel(logging.INFO)


def error_response(error: BrainsiftError, request_id: str) -> JSONResponse:
    """Returns an error as the one JSON shape."""
    headers = {"retry-after": str(error.wait_s)} if isinstance(error, BusyError) else {}
    if isinstance(error, AuthError):
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({**error.to_dict(), "request_id": request_id}, error.http_status, headers)


def _refused(error: BrainsiftError, request_id: str, scope: Scope, headers: Headers) -> Response:
    """Returns an error; who opens the page without a token in a browser is asked for it."""
    if isinstance(error, AuthError) and scope["path"] == "/" and "text/html" in headers.get("accept", ""):
        text = _ASK.read_text(encoding="utf-8")
        return HTMLResponse(text if b"token=" in scope["query_string"] else _WRONG.sub("", text), error.http_status)
    return error_response(error, request_id)


def bare_reply(error: BrainsiftError) -> JSONResponse:
    """Returns an error as it is sent where no request came to be; the connection ends with it."""
    request_id = secrets.token_hex(8)
    reply = error_response(error, request_id)
    reply.headers.update({"x-request-id": request_id, "connection": "close", **_SAFETY})
    return reply


class Gate:
    """Wraps the application.

    Args:
        app: the application.
        config: with the token and the address.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, *, config: ServeConfig, metrics: Metrics) -> None:
        self._app, self._config, self._metrics = app, config, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Passage(self, scope, receive, send).run()

    def refusal(self, scope: Scope, headers: Headers) -> BrainsiftError | None:
        """Tells why a request may not pass."""
        host = headers.get("host", "")
        if is_loopback(self._config.host) and not is_loopback(_name_of(host)):
            return ForbiddenError("Host", "is no name of this machine", "Use localhost or 127.0.0.1.")
        origin = headers.get("origin")
        if origin is not None and scope["method"] in _UNSAFE and _split(origin).netloc != host:
            return ForbiddenError("Origin", "is another site", "Use the page of this service.")
        length = headers.get("content-length", "")
        if scope["path"] not in _UPLOADS and length.isdigit() and int(length) > _SMALL:
            return TOO_LARGE
        if self._config.token and scope["path"] not in _UNLOCKED and not self._knows(scope, headers):
            return AuthError("token", "is missing or wrong", "Send Authorization: Bearer TOKEN, or open /?token=TOKEN.")
        return None

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        found = [sent] if scheme.lower() == "bearer" else []
        found.append(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))
        if scope["path"] == "/":
            found += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        return any(is_token(one, self._config) for one in found)


def is_token(sent: str, config: ServeConfig) -> bool:
    """Compares a token in constant time."""
    return hmac.compare_digest(sent.strip().encode(), (config.token or "").encode())


class _Passage:
    """One request on its way."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate, self._scope, self._receive, self._send = gate, scope, receive, send
        self._headers = Headers(scope=scope)
        sent = self._headers.get("x-request-id", "")
        self._id = sent if _SANE_ID.fullmatch(sent) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = self._id
        self._status, self._received, self._sent = 0, 0, 0
        length = self._headers.get("content-length", "0")
        self._more = "transfer-encoding" in self._headers or length != "0"  # of the body is to come
        self._worth_draining = "expect" not in self._headers and length.isdigit() and int(length) <= _DRAINED
        self._started = time.perf_counter()

    async def run(self) -> None:
        """Answers, whatever happens."""
        try:
            refusal = self._gate.refusal(self._scope, self._headers)
            if refusal:
                reply = _refused(refusal, self._id, self._scope, self._headers)
                await reply(self._scope, self._receive, self._answer)
            else:
                await self._gate._app(self._scope, self._hear, self._answer)
        except ClientDisconnect:  # it is gone
            self._status = self._status or 499
        except asyncio.CancelledError:  # the service stops, and its time is up
            self._status = self._status or UnavailableError.http_status
            raise
        except Exception as error:
            _log.exception("request failed", extra={"facts": {"request_id": self._id, "error": type(error).__name__}})
            if not self._status:
                failure = ServeError("request", f"failed: {type(error).__name__}", "Tell who runs the service.")
                await error_response(failure, self._id)(self._scope, self._receive, self._answer)
        finally:
            self._note()

    async def _hear(self) -> Message:
        message = await self._receive_more()
        if self._received > _SMALL and self._scope["path"] not in _UPLOADS:
            raise HTTPException(TOO_LARGE.http_status)  # the one kind that FastAPI lets through
        return message

    async def _receive_more(self) -> Message:
        if self._more:  # a body that never ends
            async with asyncio.timeout(max(0, self._started + self._gate._config.timeout_s - time.perf_counter())):
                message = await self._receive()
        else:
            message = await self._receive()
        self._received += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and message["status"] != SlowError.http_status:
                await self._drain()
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._id
            for name, value in _SAFETY.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
            if self._more:
                headers["connection"] = "close"
        self._sent += len(message.get("body", b""))
        async with asyncio.timeout(self._gate._config.timeout_s):  # some never read what they asked for
            await self._send(message)

    async def _drain(self) -> None:
        """Reads what is left of a body: who is refused while still sending would not see why."""
        limit = self._received + _DRAINED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while self._more and self._worth_draining and self._received < limit:
                    await self._receive_more()

    def _note(self) -> None:
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
    """Splits an address, which has no parts where it is broken."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
