"""The routes of the service under /api/v1."""

import asyncio
import csv
import io
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from brainsift.core.errors import BrainsiftError, NotFoundError
from brainsift.inference.model_card import statements
from brainsift.inference.predictor import COLUMNS
from brainsift.pages.batch_page import batch_report
from brainsift.serve.history.export_table import no_formula
from brainsift.serve.http.requests import BODY, Wanted, asked, in_time, unless_gone, wanted
from brainsift.serve.http.service import Service, answers_of, volumes_of
from brainsift.serve.schemas import ErrorReply, JobReply, Limits, ModelReply, PredictReply
from brainsift.serve.scoring.jobs import Job
from brainsift.serve.scoring.slice_pictures import SIDE, deep_png, map_png, picture_png

_MOST_WAIT_S = 20.0
_ORIGIN = ("parameters", "pretrained", "commit")
_PNG = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
_DEEP = {
    name: {"description": f"{what}, with `depth=16` of a slice of more than 8 bits.", "schema": {"type": "string"}}
    for name, what in {
        "X-Values": "What 0 and 65535 stand for, in the units of the file, as `0.0,4095.0`",
        "X-Window": "Between which values the picture of 8 bits is drawn, as `12.0,1043.0`",
    }.items()
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the replies of a route that are errors, for OpenAPI."""
    return {status: {"model": ErrorReply} for status in (*statuses, 401, 403, 500)}


_REFUSALS = errors(400, 413, 415, 422, 429, 503, 504)


def router(service: Service) -> APIRouter:
    """Makes the routes."""
    api = APIRouter(prefix="/api/v1")
    _add_asking(api, service)
    _add_jobs(api, service)
    _add_pictures(api, service)

    @api.get("/model", responses=errors())
    async def model() -> ModelReply:
        """The network, its thresholds, its figures, and the limits of this service."""
        return model_reply(service)

    return api


def model_reply(service: Service) -> ModelReply:
    """Describes the network and the service."""
    bundle, config, facts = service.bundle, service.config, service.bundle.provenance
    made = facts.get("environment", {})
    return ModelReply(
        **service.model,
        size=bundle.size,
        temperature=bundle.temperature,
        thresholds=bundle.thresholds,
        sensitivities=bundle.sensitivities,
        margins=bundle.margins,
        test=facts.get("test") or {},
        figures=facts.get("figures", []),
        data=facts.get("data", []),
        maps=facts.get("maps", {}),
        notice=bundle.notice,
        card=statements(bundle),
        environment={name: made[name] for name in _ORIGIN if name in made},
        history=config.keep is not None,
        keeps_images=config.keep_images,
        limits=Limits(**{name: getattr(config, name) for name in Limits.model_fields}),
    )


def _add_asking(api: APIRouter, service: Service) -> None:
    @api.post("/predict", response_model_exclude_unset=True, responses=_REFUSALS, openapi_extra=BODY)
    async def predict(request: Request, query: Annotated[Wanted, Depends(wanted)]) -> PredictReply:
        """Answers for images, DICOM files, NIfTI volumes or archives of them, at once."""
        started = time.perf_counter()
        async with in_time(service.config.timeout_s), asked(service, request, query) as (job, _, weigh):
            try:
                await unless_gone(request, service.jobs.run(job, weigh))
            finally:
                job.upload.close()
        if job.error:
            raise job.error
        if job.first_error and all(answer.probability is None for answer in job.answers):
            raise job.first_error
        return _reply(service, request, job, time.perf_counter() - started)

    @api.post("/jobs", status_code=202, response_model_exclude_unset=True, responses=_REFUSALS, openapi_extra=BODY)
    async def submit(request: Request, response: Response, query: Annotated[Wanted, Depends(wanted)]) -> JobReply:
        """Takes the same as predict, and answers while it works."""
        async with in_time(service.config.timeout_s), asked(service, request, query) as (job, place, weigh):
            service.jobs.keep(job, place.pop_all(), weigh)
        response.headers["location"] = f"/api/v1/jobs/{job.id}"
        return _job_reply(request, job, 0)


def _add_jobs(api: APIRouter, service: Service) -> None:
    @api.get("/jobs/{job_id}", response_model_exclude_unset=True, responses=errors(400, 404))
    async def progress(
        request: Request,
        job_id: str,
        after: Annotated[int, Query(ge=0, description="Answers that are known.")] = 0,
        wait: Annotated[float, Query(ge=0, le=_MOST_WAIT_S, description="Seconds to wait for news.")] = 0,
    ) -> JobReply:
        """How far a job is, and its answers from `after` on."""
        job = service.jobs.find(job_id)
        if wait:
            await unless_gone(request, job.news(after, wait))
        return _job_reply(request, job, after)

    @api.get("/jobs/{job_id}/result", response_model_exclude_unset=True, responses=errors(404, 409, 422))
    async def result(request: Request, job_id: str) -> PredictReply:
        """All answers of a job that is done."""
        return _reply(service, request, service.jobs.find_done(job_id), 0.0)

    @api.get("/jobs/{job_id}/result.csv", responses={**errors(404, 409, 422), 200: {"content": {"text/csv": {}}}})
    async def table(job_id: str) -> Response:
        """All answers of a job that is done, as the table of `brainsift predict --csv`."""
        headers = {"content-disposition": 'attachment; filename="answers.csv"'}
        return Response(_csv(service.jobs.find_done(job_id)), media_type="text/csv", headers=headers)

    @api.get("/jobs/{job_id}/report.html", responses={**errors(404, 409, 422), 200: {"content": {"text/html": {}}}})
    async def report(job_id: str) -> Response:
        """A page with each case of a job that is done, its picture and why."""
        job = service.jobs.find_done(job_id)
        page = await asyncio.to_thread(
            batch_report, job.answers, job.volumes(), service.bundle, job.rule.threshold, job.read
        )
        headers = {"content-disposition": 'attachment; filename="report.html"'}
        return Response(page, media_type="text/html", headers=headers)

    @api.delete("/jobs/{job_id}", status_code=204, responses=errors(404))
    async def delete(job_id: str) -> None:
        """Cancels and forgets a job, and removes its files."""
        service.jobs.delete(job_id)


def _add_pictures(api: APIRouter, service: Service) -> None:
    pictures = {**errors(400, 404, 422), 200: _PNG}

    @api.get(
        "/jobs/{job_id}/slices/{place}/picture.png",
        responses={**pictures, 200: {**_PNG, "headers": _DEEP}},
        response_class=Response,
    )
    async def picture(
        job_id: str,
        place: int,
        side: Annotated[int, Query(ge=16, le=SIDE, description="At most, pixels.")] = SIDE,
        depth: Annotated[Literal["8", "16"], Query(description="Bits a pixel.")] = "8",
    ) -> Response:
        """A slice, square pixels: 8-bit grey.

        With `depth=16`, where the slice has more, 16 bits from its least to its greatest value: red is the high byte,
        green the low one.
        """
        job = service.jobs.find(job_id)
        if depth == "8":
            png = await asyncio.to_thread(lambda: picture_png(job.read(place).grey(), side))
            return Response(png, media_type="image/png")
        png, headers = await asyncio.to_thread(lambda: deep_png(job.load(place), side))
        return Response(png, media_type="image/png", headers=headers)

    @api.get("/jobs/{job_id}/slices/{place}/map.png", responses=pictures, response_class=Response)
    async def tumor_map(job_id: str, place: int) -> Response:
        """The tumor map of a slice, as large as its picture: 255 is a tumor for certain."""
        job = service.jobs.find(job_id)
        found = job.answers[place].tumor_map if 0 <= place < len(job.answers) else None
        if found is None:
            raise NotFoundError("map", "is not there", "This slice has none.")
        png = await asyncio.to_thread(lambda: map_png(job.read(place).grey(), found, size=service.bundle.size))
        return Response(png, media_type="image/png")


def _reply(service: Service, request: Request, job: Job, seconds: float) -> PredictReply:
    return PredictReply(
        request_id=request.state.request_id,
        model=service.model,  # type: ignore[arg-type]
        threshold=job.rule.threshold,
        margin=job.rule.margin,
        notice=service.bundle.notice,
        answers=answers_of(job),
        volumes=volumes_of(job),
        seconds=round(seconds, 4),
    )


def _job_reply(request: Request, job: Job, after: int) -> JobReply:
    return JobReply(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]
        done=job.done,
        cases=job.cases,
        total=job.total,
        error=_error_reply(job.error, request.state.request_id) if job.error else None,
        created=job.created,
        threshold=job.rule.threshold,
        margin=job.rule.margin,
        answers=answers_of(job, after),
        volumes=volumes_of(job),
    )


def _error_reply(error: BrainsiftError, request_id: str) -> ErrorReply:
    return ErrorReply(**error.to_dict(), request_id=request_id)


def _csv(job: Job) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    for answer in job.answers:
        row = answer.to_dict()
        writer.writerow({**row, **{name: no_formula(str(row[name])) for name in ("path", "volume")}})
    return stream.getvalue()
