"""One process that listens: its socket, its start, and its end, which finishes what was accepted."""

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

_SLOW_HEADERS_S = 20
_TOLD = 64  # connections beyond the limit that are told so; more are hung up on
_FETCHED_S = 2.0  # in which the last answers of jobs are fetched before it stops to listen


def listen(config: ServeConfig) -> socket.socket:
    """Binds the socket.

    Raises:
        UsageError: the address is not this machine's, or the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an answer is two writes: the second must not wait
    try:
        listener.bind((config.host.strip("[]"), config.port))
    except OSError as error:
        listener.close()
        rule = f"{config.host}:{config.port} cannot be listened on: {error.strerror or error}"
        raise UsageError("port", rule, "Choose another with --port, or 0 for any free one.") from None
    return listener


def address(config: ServeConfig, listener: socket.socket) -> str:
    """Returns the URL of the page on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{bracketed}:{listener.getsockname()[1]}"


def _crowded(app: ASGIApp, service: Service) -> ASGIApp:
    """Returns an application for connections beyond the limit, which tells of nothing but its health."""
    error = BusyError("connections", f"are {service.config.connections} already", "Try again in 2 s.")
    error.wait_s = 2

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        response = error_response(error, scope["state"]["request_id"])
        response.headers["connection"] = "close"
        await response(scope, receive, send)

    refusing = Gate(refuse, config=service.config, metrics=service.metrics)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"] in OPEN else refusing)(scope, receive, send)

    return answer


class _Connection(H11Protocol):
    """Adds to uvicorn a limit of connections, limits of time to ask and to read, and errors of the one shape."""

    _patience: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, most: int, crowded: ASGIApp, flush_s: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most, self._crowded, self._flush_s = most, crowded, flush_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self.app = self._crowded
        if len(self.connections) > self._most + _TOLD:
            transport.abort()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reply = bare_reply(UsageError("request", "is no HTTP as RFC 9112 has it", "Use a library to send it."))
            events = (
                h11.Response(status_code=reply.status_code, headers=reply.raw_headers),
                h11.Data(data=bytes(reply.body)),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Starts the clock at the first byte of each request, and stops it when the request is said."""
        self._wait()
        super().data_received(data)
        if not self._idle() and self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def on_response_complete(self) -> None:
        """Gives who asked for an answer the time of a request to read it."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._flush_s, self._give_up, self.cycle)

    def _wait(self) -> None:
        if self._patience is None and self._idle():
            self._patience = self.loop.call_later(_SLOW_HEADERS_S, self.transport.close)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self, answered: object) -> None:
        if self.cycle is answered and self.transport.get_write_buffer_size():
            self.transport.abort()


class Server(uvicorn.Server):
    """Runs the application; told to stop, it takes no more work, finishes what it has, and ends.

    Args:
        app: of `create_app`.
        url: to open in a browser once it listens; "" opens nothing.
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
                    flush_s=self._service.config.timeout_s,
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
        """Stops; told twice, at once."""
        if self._service.stopping or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._service.stop()
        print("brainsift serve: finishing what was accepted; once more ends it at once.", file=sys.stderr)
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._finish()))

    async def _finish(self) -> None:
        fetched_s = _FETCHED_S if self._service.jobs.busy else 0
        try:
            await asyncio.wait_for(self._service.jobs.drain(), self._service.left_s)
            await asyncio.sleep(min(fetched_s, self._service.left_s))
        except TimeoutError:
            print("brainsift serve: the rest was given up.", file=sys.stderr)
        self.config.timeout_graceful_shutdown = max(1, round(self._service.left_s))
        self.should_exit = True
