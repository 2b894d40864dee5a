"""The server process: it listens, starts, and stops when the accepted work is finished.

uvicorn has no public way to limit the number of connections with an HTTP reply, to limit the time that a client takes
to send the head of a request or to read a reply, or to choose the body of the reply to malformed HTTP. So `_Connection`
overrides three methods of its protocol class and reads four attributes. `tests/serve/test_hardening.py` checks each of
the limits over real sockets; pyproject.toml names the versions of uvicorn that were tested.
"""

import asyncio
import functools
import socket
import sys
import threading
import webbrowser
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from brainsift.core.errors import BusyError, UsageError
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.middleware import OPEN, Gate, bare_reply, error_response
from brainsift.serve.http.service import Service

_HEAD_S = 20  # time for the head of a request
_REFUSED = 64  # connections beyond the limit that get a reply; others are closed at once
_FETCH_S = 2.0  # time to fetch the last results of jobs, before the socket is closed


def listen(config: ServeConfig) -> socket.socket:
    """Opens the socket.

    Raises:
        UsageError: the address is not one of this machine, or the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a reply is two writes: the second must not wait
    try:
        listener.bind((config.host.strip("[]"), config.port))
    except OSError as error:
        listener.close()
        rule = f"cannot listen on {config.host}:{config.port}: {error.strerror or error}"
        raise UsageError("port", rule, "Choose another with --port; 0 takes any free one.") from None
    return listener


def address(config: ServeConfig, listener: socket.socket) -> str:
    """Returns the URL of the page on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{bracketed}:{listener.getsockname()[1]}"


def _crowded(app: ASGIApp, service: Service) -> ASGIApp:
    """Returns an application for connections beyond the limit: it refuses all but the health checks."""
    error = BusyError("connections", f"are at their limit of {service.config.connections}", "Try again in 2 s.")
    error.wait_s = 2

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        response = error_response(error, scope["state"]["request_id"])
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    refusing = Gate(refuse, config=service.config, metrics=service.metrics)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"] in OPEN else refusing)(scope, receive, send)

    return answer


# H11Protocol is not a public part of uvicorn: pyproject.toml bounds its version, docs/design.md says why.
class _Connection(H11Protocol):
    """A connection of uvicorn with more limits: of their number, of the time to send a head, and to read a reply."""

    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, most: int, crowded: ASGIApp, read_s: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most, self._crowded, self._read_s = most, crowded, read_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer for the head of the first request."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self.app = self._crowded
        if len(self.connections) > self._most + _REFUSED:
            transport.abort()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Replies to malformed HTTP."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reply = bare_reply(UsageError("request", "is malformed HTTP (RFC 9112)", "Use an HTTP library."))
            events = (
                h11.Response(status_code=reply.status_code, headers=reply.raw_headers),
                h11.Data(data=bytes(reply.body)),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Starts the timer at the first byte of a request, and stops it at the end of its head."""
        self._wait()
        super().data_received(data)
        if not self._idle() and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_response_complete(self) -> None:
        """Closes the connection if the client does not read the reply in time."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._read_s, self._close_unread, self.cycle)

    def _wait(self) -> None:
        if self._timer is None and self._idle():
            self._timer = self.loop.call_later(_HEAD_S, self.transport.close)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_unread(self, answered: object) -> None:
        if self.cycle is answered and self.transport.get_write_buffer_size():
            self.transport.abort()


class Server(uvicorn.Server):
    """Runs the application. After a signal it takes no more work, finishes what it has, and ends.

    Args:
        app: made by `create_app`.
        url: opened in a browser once the server listens; "" opens nothing.
    """

    def __init__(self, app: FastAPI, *, url: str = "") -> None:
        self._service: Service = app.state.service
        self._url = url
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                ws="none",
                http=functools.partial(  # type: ignore[arg-type]
                    _Connection,
                    most=self._service.config.connections,
                    crowded=_crowded(app, self._service),
                    read_s=self._service.config.timeout_s,
                ),
                timeout_keep_alive=10,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and opens the browser."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self._url and self.started:
            threading.Thread(target=webbrowser.open, args=(self._url,), daemon=True).start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops; at the second signal at once."""
        if self._service.stopping or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._service.stop()
        print("brainsift serve: finishing the accepted work; Ctrl-C again stops at once.", file=sys.stderr)
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._finish()))

    async def _finish(self) -> None:
        fetch_s = _FETCH_S if self._service.jobs.busy else 0
        try:
            await asyncio.wait_for(self._service.jobs.drain(), self._service.left_s)
            await asyncio.sleep(min(fetch_s, self._service.left_s))
        except TimeoutError:
            print("brainsift serve: time is up, the rest of the work was dropped.", file=sys.stderr)
        self.config.timeout_graceful_shutdown = max(1, round(self._service.left_s))
        self.should_exit = True
