"""From a request to a job: the query, the body, a place in the queue, a limit of time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request

from brainsift.core.errors import SlowError, UnavailableError, UsageError
from brainsift.inference.predictor import Rule, make_rule
from brainsift.serve.http.service import Service
from brainsift.serve.scoring.jobs import Job
from brainsift.serve.scoring.uploads import ARCHIVE_TYPES, RAW_TYPES, Upload, receive

_Result = TypeVar("_Result")
_FILE = {"schema": {"type": "string", "format": "binary"}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Images, DICOM files (several make a series), NIfTI volumes, or ZIP archives of them.",
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
class Wanted:
    """The query of a request for answers.

    Attributes:
        threshold: by name, or the wanted sensitivity.
        max_error: wanted share of errors.
        maps: whether the tumor maps are wanted.
        name: of a body that is one file.
    """

    threshold: str | float | None
    max_error: float | None
    maps: bool
    name: str

    def rule(self, service: Service) -> Rule:
        """Returns what decides; raises as `make_rule` does."""
        return make_rule(service.bundle, threshold=self.threshold, max_error=self.max_error)


async def wanted(  # async, or it would be called in a thread
    threshold: Annotated[
        str | None, Query(description="By name.", max_length=40, examples=["balanced", "screening", "confirm"])
    ] = None,
    sensitivity: Annotated[float | None, Query(description="Wanted, instead of a name.", examples=[0.97])] = None,
    max_error: Annotated[
        float | None, Query(description="Refer what is not sure enough for this share of errors.", examples=[0.05])
    ] = None,
    maps: Annotated[bool, Query(description="Add the tumor maps.")] = False,
    name: Annotated[str, Query(description="Of a body that is one file.", max_length=1000)] = "",
) -> Wanted:
    """Reads the query."""
    if threshold is not None and sensitivity is not None:
        raise UsageError("threshold", "and sensitivity exclude each other", "Give one of them.")
    return Wanted(sensitivity if sensitivity is not None else threshold, max_error, maps, name)


@contextlib.asynccontextmanager
async def asked(
    service: Service, request: Request, wanted: Wanted
) -> AsyncIterator[tuple[Job, contextlib.ExitStack, Callable[[int], None]]]:
    """Yields a job for a request, the place it holds in the queue, and what sets its weight there.

    The job's files are removed when the block fails.

    Raises:
        UnavailableError: the service stops.
        BusyError: the queue or the store is full.
        UsageError, UploadError, MediaTypeError, InputError: the request cannot be used.
    """
    if service.stopping:
        raise UnavailableError("service", "is stopping", "Try again when it has started anew.")
    rule = wanted.rule(service)
    service.engine.check_room()  # a place is taken when the body is here: who sends slowly holds none
    while service.store.half_full and service.jobs.make_room():
        pass
    upload = await _uploaded(service, request, wanted.name)
    with contextlib.ExitStack() as stack:
        try:
            weigh = stack.enter_context(service.engine.place())
            yield Job(upload, rule, maps=wanted.maps), stack, weigh
        except BaseException:
            upload.close()
            raise


async def _uploaded(service: Service, request: Request, name: str) -> Upload:
    upload = await receive(service.store, request.headers, request.stream(), name)
    try:
        await asyncio.to_thread(upload.unpack)
    except BaseException:
        upload.close()
        raise
    return upload


async def unless_gone(request: Request, work: Awaitable[_Result]) -> _Result | None:
    """Returns what ``work`` gives, or cancels it and returns None when the client is gone; the body was read before."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
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
