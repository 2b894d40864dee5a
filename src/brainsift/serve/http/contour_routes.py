"""The routes of corrected contours, under /api/v1/history: read, draw, remove, export."""

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from brainsift.core.errors import NotFoundError
from brainsift.serve.history.contours import Contour
from brainsift.serve.history.masks_zip import mask_png
from brainsift.serve.history.store import DrawnContour, History
from brainsift.serve.http.history_routes import PREFIX, Number, need
from brainsift.serve.http.requests import refuse_unknown_query
from brainsift.serve.http.responses import answers
from brainsift.serve.http.service import Service
from brainsift.serve.scoring.drawn_segmentation import segmentation_of

_CHUNK = 1 << 20
_EXAMPLE: dict[str, Any] = {"width": 4, "height": 3, "runs": [5, 2, 5], "start": "network", "level": 0.5}


class ContourOut(BaseModel):
    """The contour that a reader drew on an image or a slice, and the size in which it is drawn."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"size": [4, 3], "drawn": "2026-03-02T09:30:00.000000Z", "contour": _EXAMPLE}]}
    )

    size: tuple[int, int] | None = Field(
        description="Width and height of the source image, pixels; null where they are no longer known."
    )
    drawn: str | None = Field(description="When the contour was saved, ISO 8601, UTC; null where nobody drew one.")
    contour: Contour | None


@dataclasses.dataclass(frozen=True)
class ContourIn(Contour):
    """A contour to keep; the last one counts."""

    __pydantic_config__ = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})


def router(service: Service) -> APIRouter:
    """Makes the routes; without a history all of them reply "not found"."""
    made = APIRouter(prefix=PREFIX, tags=["history"], dependencies=[Depends(refuse_unknown_query)])
    kept = Annotated[History, Depends(need(service.history))]
    _add_contours(made, kept, service)

    @made.get("/masks.zip", summary="All judged cases with their masks, for training", **answers("application/zip"))
    def masks(history: kept) -> Response:
        """Masks as PNG, NIfTI and DICOM segmentations, pictures, and a manifest that `audit` and others read.

        DICOM segmentations need the files of the series, which the service has until it forgets the job, and the
        extra `dicom`. `left-out.txt` says what is missing, and why.
        """
        file = tempfile.TemporaryFile()  # noqa: SIM115 - `_pieces` closes it
        history.write_masks(file, lambda contours: _segmentation(service, contours))
        size = file.tell()
        name = f"brainsift-masks-{datetime.now():%Y-%m-%d-%H%M%S}.zip"
        headers = {"content-disposition": f'attachment; filename="{name}"', "content-length": str(size)}
        return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)

    return made


def _add_contours(made: APIRouter, kept: Any, service: Service) -> None:
    @made.get("/{number}/contour", summary="The contour that a reader drew on an image or a slice")
    def contour(history: kept, number: Number) -> ContourOut:
        return _reply(history.contour(number), _size(service, history, number))

    @made.put("/{number}/contour", summary="Save the contour that you drew")
    def draw(history: kept, number: Number, drawn: ContourIn) -> ContourOut:
        """At most 1 MiB; the size has to be that of the image as it was decoded, which `GET` tells."""
        size = _size(service, history, number)
        return _reply(history.draw(number, Contour(**dataclasses.asdict(drawn)), size), size)

    @made.delete("/{number}/contour", status_code=204, summary="Remove the contour that a reader drew")
    def remove(history: kept, number: Number) -> None:
        history.remove_contour(number)

    @made.get("/{number}/mask.png", summary="The drawn contour as a mask", **answers("image/png"))
    def mask(history: kept, number: Number) -> Response:
        """As many pixels as the image that was scored: 255 inside of the contour, 0 outside."""
        found = history.contour(number)
        if found is None:
            raise NotFoundError(f"contour of case {number}", "is not there: nobody drew one", "Draw one on the page.")
        return Response(mask_png(found.contour), media_type="image/png")


def _reply(drawn: DrawnContour | None, size: tuple[int, int] | None) -> ContourOut:
    if drawn is None:
        return ContourOut(size=size, drawn=None, contour=None)
    return ContourOut(size=size, drawn=drawn.drawn, contour=drawn.contour)


def _size(service: Service, history: History, number: int) -> tuple[int, int] | None:
    """Returns the size of the source of a case: as the history has it, else of the file while that is here."""
    known = history.source_size(number)
    found = None if known else service.jobs.of_case(number)
    if found is None:
        return known
    job, place = found
    height, width = job.load(place).image.grey().shape
    return width, height


def _segmentation(service: Service, contours: Mapping[int, Contour]) -> tuple[bytes | None, str]:
    """Makes the DICOM segmentation of a volume whose files are here."""
    found = [service.jobs.of_case(number) for number in contours]
    jobs = {job.id: job for job, _ in filter(None, found)}
    if len(jobs) != 1 or not all(found):
        return None, "a DICOM segmentation needs the files, and they are no longer at the service"
    (job,) = jobs.values()
    places = [place for _, place in filter(None, found)]
    if not job.predictions[places[0]].volume:
        return None, ""
    masks = {place: one.mask() for place, one in zip(places, contours.values(), strict=True)}
    from_network = any(one.start == "network" for one in contours.values())
    return segmentation_of(job, masks, service.bundle, from_network=from_network)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yields the content of a file, and closes it."""
    with file:
        file.seek(0)
        while piece := file.read(_CHUNK):
            yield piece
