"""Reads a request: its query, its files, its limit of time."""

import asyncio
import contextlib
import difflib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request

from brainsift.core.errors import SlowError, UnavailableError, UsageError
from brainsift.inference.decision import Rule, make_rule
from brainsift.serve.http.service import Service
from brainsift.serve.scoring.job import Job
from brainsift.serve.scoring.uploads import ARCHIVE_TYPES, RAW_TYPES, receive

_Result = TypeVar("_Result")
_FILE = {"schema": {"type": "string", "format": "binary"}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": (
            "Images, DICOM files (several can be a series), NIfTI volumes, or ZIP archives of them. "
            "Each part with a file name is read, whatever the name of its field."
        ),
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "minItems": 1, "items": _FILE["schema"]}},
                },
                "example": {"files": ["(the content of slice.png)"]},
            },
            **dict.fromkeys(("image/*", *RAW_TYPES[:3], ARCHIVE_TYPES[0]), _FILE),
        },
    },
}


@dataclass(frozen=True)
class DecisionQuery:
    """The part of a query that says how predictions are decided.

    Attributes:
        threshold: a name, or the wanted sensitivity.
        max_error: the accepted share of errors.
    """

    threshold: str | float | None
    max_error: float | None

    def rule(self, service: Service) -> Rule:
        """Returns the decision rule; raises as `make_rule` does."""
        return make_rule(service.bundle, threshold=self.threshold, max_error=self.max_error)


async def decision_query(  # async, or it would be called in a thread
    threshold: Annotated[
        str | None, Query(description="Its name.", max_length=40, examples=["balanced", "screening", "confirm"])
    ] = None,
    sensitivity: Annotated[
        float | None, Query(description="Sensitivity to reach, instead of a threshold by name.", examples=[0.97])
    ] = None,
    max_error: Annotated[
        float | None,
        Query(description="Accepted share of errors: predictions that are too unsure are referred.", examples=[0.05]),
    ] = None,
) -> DecisionQuery:
    """Reads the query."""
    if threshold is not None and sensitivity is not None:
        raise UsageError("threshold", "and sensitivity exclude each other", "Give one of them.")
    return DecisionQuery(sensitivity if sensitivity is not None else threshold, max_error)


async def refuse_unknown_query(request: Request) -> None:
    """Refuses a query parameter that is unknown or stands twice: left out in silence, it would change the result.

    Raises:
        UsageError: there is one; it names the parameter that was probably meant.
    """
    route = request.scope["route"].path
    operation = request.app.openapi()["paths"][route][request.method.lower()]
    known = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1) or known
            remedy = f"Write {' or '.join(near)}." if near else "Leave it out: this address takes none."
            raise UsageError(name[:40], f"is not a query parameter of {route}", remedy)
        if len(request.query_params.getlist(name)) > 1:
            raise UsageError(name, "stands more than once in the query", "Give it once.")


async def accept(service: Service, request: Request, query: DecisionQuery, *, name: str, maps: bool) -> Job:
    """Turns a request into a job, which holds its files and its room in the queue; the caller has to close it.

    Args:
        service: takes the job.
        request: its body is read here.
        query: how predictions are decided.
        name: of a body that is one file.
        maps: whether the reply shows the tumor maps.

    Raises:
        UnavailableError: the service stops.
        BusyError: the queue or the store is full.
        UsageError, UploadError, MediaTypeError, InputError: the request cannot be used.
    """
    if service.stopping:
        raise UnavailableError("service", "is stopping", "Try again after it was restarted.")
    rule = query.rule(service)
    service.queue.check_room()  # room is held only once the body is here, so that slow clients hold none
    while service.store.half_full and service.jobs.make_room():
        pass
    upload = await receive(service.store, request.headers, request.stream(), name)
    try:
        await asyncio.to_thread(upload.unpack)
        return Job(upload, rule, service.queue.reserve(), maps=maps)
    except BaseException:
        upload.close()
        raise


async def unless_gone(request: Request, work: Awaitable[_Result]) -> _Result | None:
    """Returns the result of ``work``; cancels it and returns None when the client disconnects.

    The body has to be read before.
    """

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(disconnected())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        gone.cancel()
        task.cancel()


@contextlib.asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Limits the time of a block.

    Raises:
        SlowError: it took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        rule = f"took longer than {seconds:g} s"
        raise SlowError("request", rule, "Send fewer files at a time, or use /api/v1/jobs.") from None
