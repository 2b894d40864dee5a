"""The HTTP service of a node: /healthz, /readyz, /metrics, and objects by STOW-RS."""

import hmac
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from brainsift.core.errors import (
    AuthError,
    BrainsiftError,
    ForbiddenError,
    MediaTypeError,
    RefusedObjectError,
    UnavailableError,
    UploadError,
    UsageError,
)
from brainsift.node.dicomweb import boundary_of, parts_of
from brainsift.node.event_log import log_event
from brainsift.node.figures import CONTENT_TYPE, Figures
from brainsift.node.intake import ACCEPTED, MISMATCH, NO_ROOM, Intake
from brainsift.node.settings import Web
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.server import listen
from brainsift.serve.loopback import is_loopback

_MIB, _CHUNK = 2**20, 1 << 20
_CONNECTIONS = 64


class WebDoor:
    """Serves from when it is made until `stop`.

    Args:
        settings: address, token, limits.
        intake: gets the objects.
        figures: for /metrics.
        reserve_mb: below so much free space the node is not ready, MiB.
        count: is called with the outcome of each object.

    Raises:
        UsageError: the address is not one of this machine, or the port is taken.
    """

    def __init__(
        self, settings: Web, intake: Intake, figures: Figures, *, reserve_mb: int, count: Callable[[str], None]
    ) -> None:
        self._settings, self._intake, self._figures, self._count = settings, intake, figures, count
        self._reserve, self._stopping = reserve_mb * _MIB, False
        routes = [
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
            Route("/metrics", self._metrics),
        ]
        if settings.store:
            routes += [
                Route("/dicom-web/studies", self._store, methods=["POST"]),
                Route("/dicom-web/studies/{study}", self._store, methods=["POST"]),
            ]
        app = Starlette(routes=routes, exception_handlers={BrainsiftError: _reply})  # type: ignore[dict-item]
        self._listener = listen(ServeConfig(host=settings.host, port=settings.port, token=settings.secret or None))
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=10,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="web", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Finishes the requests that it has, and ends."""
        self._stopping = self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        if self._stopping:
            raise UnavailableError("node", "is stopping", "Try again after it was restarted.")
        if shutil.disk_usage(self._intake.folder).free < self._reserve:
            raise UnavailableError("node", "has less free space than its reserve", "Make room on its disk.")
        return JSONResponse({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        self._admit(request)
        return Response(await run_in_threadpool(self._figures.text), media_type=CONTENT_TYPE)

    async def _store(self, request: Request) -> Response:
        self._admit(request)
        kind = request.headers.get("content-type", "")
        boundary = boundary_of(kind)
        if not boundary or "application/dicom" not in kind.lower() or "application/dicom+" in kind.lower():
            rule = "must be multipart/related with type application/dicom and a boundary"
            raise MediaTypeError("content-type", rule, "Use a client for STOW-RS.")
        with tempfile.TemporaryFile(dir=self._intake.folder / "incoming") as body:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._settings.request_mb * _MIB:
                    rule = f"is larger than {self._settings.request_mb} MiB"
                    raise UploadError("body", rule, "Send fewer objects at once, or raise request_mb.")
                await run_in_threadpool(body.write, chunk)
            body.seek(0)
            study = request.path_params.get("study", "")
            return await run_in_threadpool(self._take_all, body, boundary, study)

    def _take_all(self, body: IO[bytes], boundary: bytes, study: str) -> Response:
        """Takes in each object, and says which ones were refused: DICOM PS3.18, 10.5.3 and I.2."""
        stored: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        reasons = set()
        try:
            for part in parts_of(iter(lambda: body.read(_CHUNK), b""), boundary):
                names = _names_of(part)
                try:
                    if study and names.get("study") != study:
                        raise RefusedObjectError("object", "is of another study", "Send it there.", status=MISMATCH)
                    taken = self._intake.take(part, door="web")
                except RefusedObjectError as error:
                    self._count("refused")
                    log_event("object refused", level=logging.WARNING, why=error.rule, status=f"{error.status:04X}")
                    reasons.add(error.status)
                    failed.append({**_reference(names), "00081197": {"vr": "US", "Value": [error.status]}})
                else:
                    self._count(taken.arrival)
                    stored.append(_reference(names))
        except ValueError:
            raise UsageError("body", "ends in the middle of an object", "Send it again.") from None
        reply = {
            tag: {"vr": "SQ", "Value": items} for tag, items in (("00081199", stored), ("00081198", failed)) if items
        }
        status = 200 if not failed else 202 if stored else 503 if reasons == {NO_ROOM} else 409
        return JSONResponse(reply, status, media_type="application/dicom+json")

    def _admit(self, request: Request) -> None:
        """Refuses requests without the token, and those that a page of another site had made."""
        secret = self._settings.secret
        if secret:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
                raise AuthError("token", "is missing or wrong", "Send `Authorization: Bearer TOKEN`.")
        elif not is_loopback(request.url.hostname or ""):
            raise ForbiddenError("host", "is not the name of this machine", "Use 127.0.0.1.")


async def _reply(request: Request, error: BrainsiftError) -> Response:
    return JSONResponse(error.to_dict(), error.http_status)


def _names_of(content: bytes) -> dict[str, str]:
    """Returns what names an object, as far as it can be read."""
    from io import BytesIO

    from pydicom import dcmread

    tags = {"class": "SOPClassUID", "uid": "SOPInstanceUID", "study": "StudyInstanceUID"}
    try:
        header = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=list(tags.values()))
        return {name: str(header.get(tag, "")) for name, tag in tags.items()}
    except Exception:  # of what is broken pydicom raises nearly every type
        return {}


def _reference(names: dict[str, str]) -> dict[str, Any]:
    sop_class = names.get("class", "")
    return {
        "00081150": {"vr": "UI", "Value": [sop_class if sop_class in ACCEPTED else ""]},
        "00081155": {"vr": "UI", "Value": [names.get("uid", "")]},
    }
