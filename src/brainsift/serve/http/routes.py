"""The routes under /api/v1: predictions, jobs, pictures, reports, the network."""

import io
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from brainsift.core.errors import NotFoundError
from brainsift.core.files import csv_writer
from brainsift.core.reasons import Reason
from brainsift.images.decode import DecodedImage
from brainsift.inference.decision import Prediction, Rule, columns_of
from brainsift.inference.model_card import statements
from brainsift.inference.volume_decision import VOLUME_COLUMNS, VolumePrediction, summarise_volumes
from brainsift.pages.batch_page import batch_report
from brainsift.serve.http.requests import (
    BODY,
    DecisionQuery,
    accept,
    decision_query,
    refuse_unknown_query,
    time_limit,
    unless_gone,
)
from brainsift.serve.http.responses import OpenApi, attached, content_of
from brainsift.serve.http.service import Service
from brainsift.serve.schemas import (
    ErrorReply,
    GeometryResult,
    JobReply,
    Limits,
    ModelReply,
    PlaneResult,
    PlanesReply,
    PredictReply,
    ReportedSlices,
    ReportRequest,
    SliceResult,
    VolumeResult,
)
from brainsift.serve.scoring.blocks import StackedVolume
from brainsift.serve.scoring.dicom_zip import zip_results
from brainsift.serve.scoring.job import Job
from brainsift.serve.scoring.map_volume import map_nifti
from brainsift.serve.scoring.slice_pictures import SIDE, deep_png, map_png, picture_png, seen_png
from brainsift.volumes.geometry import Plane
from brainsift.volumes.planes import PLANES

_MOST_WAIT_S = 20.0
Of = Literal["slices", "volumes"]
_ORIGIN_COLUMNS = ("rule", "margin", "network", "network_sha256", "version", "made")
_ORIGIN = ("parameters", "pretrained", "commit")
_PNG = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
_DEEP = {
    name: {
        "description": f"{what}; with `depth=16`, of a slice of more than 8 bits.",
        "schema": {"type": "string"},
    }
    for name, what in {
        "X-Values": "The values that 0 and 65535 stand for, in the units of the file, as `0.0,4095.0`",
        "X-Window": "The values between which the picture of 8 bits is drawn, as `12.0,1043.0`",
    }.items()
}
_Decision = Annotated[DecisionQuery, Depends(decision_query)]
_Maps = Annotated[bool, Query(description="Add the tumor maps.")]
_Name = Annotated[str, Query(description="File name, where the body is one file.", max_length=1000)]


def errors(*statuses: int) -> OpenApi:
    """Returns the replies of a route that are errors, for OpenAPI."""
    return {status: {"model": ErrorReply} for status in (*statuses, 400, 401, 403, 500)}


_REFUSALS = errors(413, 415, 422, 429, 503, 504)
_NOT_DONE = errors(404, 409, 422)


def router(service: Service) -> APIRouter:
    """Makes the routes."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_unknown_query)])
    _add_predictions(api, service)
    _add_jobs(api, service)
    _add_reports(api, service)
    _add_pictures(api, service)
    _add_map_volume(api, service)
    _add_planes(api, service)

    @api.get("/model", responses=errors())
    async def model() -> ModelReply:
        """The network, its thresholds, its figures, and the limits of this service."""
        bundle, config, facts = service.bundle, service.config, service.bundle.provenance
        made = facts.get("environment", {})
        return ModelReply(
            **service.model,
            size=bundle.size,
            temperature=bundle.temperature,
            thresholds=bundle.thresholds,
            sensitivities=bundle.sensitivities,
            margins=bundle.margins,
            volumes=bundle.volumes.to_json() if bundle.volumes else None,
            volumes_in_words=bundle.volumes_in_words,
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

    return api


def _add_predictions(api: APIRouter, service: Service) -> None:
    @api.post("/predict", response_model_exclude_unset=True, responses=_REFUSALS, openapi_extra=BODY)
    async def predict(request: Request, query: _Decision, maps: _Maps = False, name: _Name = "") -> PredictReply:
        """Predicts for images, DICOM files, NIfTI volumes or archives of them, and replies when all is scored."""
        started = time.perf_counter()
        async with time_limit(service.config.timeout_s):
            job = await accept(service, request, query, name=name, maps=maps)
            try:
                await unless_gone(request, service.jobs.run(job))
            finally:
                job.close()
        if job.error:
            raise job.error
        if job.first_error and all(one.status == "unreadable" for one in job.predictions):
            raise job.first_error
        return _results(service, request, job, time.perf_counter() - started)

    @api.post("/jobs", status_code=202, response_model_exclude_unset=True, responses=_REFUSALS, openapi_extra=BODY)
    async def submit(
        request: Request, response: Response, query: _Decision, maps: _Maps = False, name: _Name = ""
    ) -> JobReply:
        """Takes the same as `predict`, and replies at once with a job that works in the background."""
        async with time_limit(service.config.timeout_s):
            job = await accept(service, request, query, name=name, maps=maps)
        service.jobs.start(job)
        response.headers["location"] = f"/api/v1/jobs/{job.id}"
        return _progress(request, job, 0)


def _add_jobs(api: APIRouter, service: Service) -> None:
    @api.get("/jobs/{job_id}", response_model_exclude_unset=True, responses=errors(404))
    async def progress(
        request: Request,
        job_id: str,
        after: Annotated[int, Query(ge=0, description="Number of results that are known already.")] = 0,
        wait: Annotated[float, Query(ge=0, le=_MOST_WAIT_S, description="Seconds to wait for news.")] = 0,
    ) -> JobReply:
        """The progress of a job, and its results from `after` on."""
        job = service.jobs.find(job_id)
        if wait:
            await unless_gone(request, job.news(after, wait))
        return _progress(request, job, after)

    @api.get("/jobs/{job_id}/result", response_model_exclude_unset=True, responses=_NOT_DONE)
    async def result(request: Request, job_id: str) -> PredictReply:
        """All results of a job that is done."""
        return _results(service, request, service.jobs.find_done(job_id), 0.0)

    @api.get("/jobs/{job_id}/result.csv", responses={**_NOT_DONE, 200: {"content": {"text/csv": {}}}})
    async def table(
        job_id: str,
        of: Annotated[Of, Query(description="One row per image and slice, or one row per volume.")] = "slices",
    ) -> Response:
        """All results of a job that is done: the table of `brainsift predict --csv` or `--volumes`, and its origin."""
        job = service.jobs.find_done(job_id)
        found = job.predictions if of == "slices" else job.results()[1]
        columns = columns_of(service.bundle) if of == "slices" else VOLUME_COLUMNS
        stream = io.StringIO()
        write_row = csv_writer(stream, tuple(dict.fromkeys((*columns, "threshold", *_ORIGIN_COLUMNS))))
        origin = _origin_of_rows(service, job.rule)
        for one in found:
            write_row({**origin, **one.to_dict()})
        return attached(stream.getvalue(), "text/csv", f"{of}.csv")

    @api.delete("/jobs/{job_id}", status_code=204, responses=errors(404))
    async def delete(job_id: str) -> None:
        """Cancels and forgets a job, and removes its files."""
        service.jobs.delete(job_id)


def _add_reports(api: APIRouter, service: Service) -> None:
    page = content_of("text/html")

    @api.get("/jobs/{job_id}/report.html", responses={**_NOT_DONE, **page})
    async def report_job(job_id: str) -> Response:
        """The report of `brainsift predict --report` on a job that is done."""
        job = service.jobs.find_done(job_id)
        return await _report(service, [(job, place, one) for place, one in enumerate(job.predictions)], job.rule)

    @api.post("/report.html", responses={**errors(404, 409, 413), **page})
    async def report(body: ReportRequest, query: _Decision) -> Response:
        """The same report on slices of any jobs, all decided by the rule of the query."""
        rule = query.rule(service)
        shown: list[tuple[Job | None, int, Prediction]] = []
        owners: dict[str, tuple[str, str]] = {}  # of the names of volumes: two jobs may have one of the same name
        for part in body.slices:
            job, places = _named(service, part)
            for place in places:
                if not 0 <= place < len(job.predictions):
                    raise NotFoundError("slice", f"{place} is not in job {part.job}", "Slices count from 0.")
                one = job.predictions[place]
                volume, number = part.folder + one.volume if one.volume else "", 1
                while volume and owners.setdefault(volume, (job.id, one.volume)) != (job.id, one.volume):
                    number += 1
                    volume = f"{part.folder}{one.volume} ({number})"
                shown.append((job, place, replace(one.decided(rule), path=part.folder + one.path, volume=volume)))
        for file in body.refused:
            shown.append((None, 0, Prediction(file.name, "unreadable", None, "", Reason.NOT_TAKEN, file.detail)))
        return await _report(service, shown, rule)

    archive = {**errors(404, 409, 413, 422, 501), **content_of("application/zip")}

    @api.post("/dicom.zip", responses=archive, response_class=Response)
    async def dicom(body: ReportRequest, query: _Decision) -> Response:
        """The objects of `brainsift predict --dicom` for the DICOM series that the slices belong to, as a ZIP.

        Each series is exported whole. The rule of the query decides it. `left-out.txt` says what is missing, and why.
        """
        rule = query.rule(service)
        volumes: list[VolumePrediction] = []
        for part in body.slices:
            job, places = _named(service, part)
            volumes += job.volumes_of(places, rule)
        packed = await service.draw(lambda: zip_results(volumes, service.bundle, rule))
        return attached(packed, "application/zip", "DICOM-objects.zip")


def _named(service: Service, part: ReportedSlices) -> tuple[Job, Sequence[int]]:
    """Returns the job that a part of a request names, and the places of its slices: all of a job that is done."""
    if part.slices is not None:
        return service.jobs.find(part.job), part.slices
    job = service.jobs.find_done(part.job)
    return job, range(len(job.predictions))


async def _report(service: Service, shown: Sequence[tuple[Job | None, int, Prediction]], rule: Rule) -> Response:
    """Fills the report with predictions, each with its job and its place there."""

    def read(number: int) -> DecodedImage:
        job, place, _ = shown[number]
        if job is None:
            raise NotFoundError("picture", "is not there", "The file was not taken.")
        return job.load(place).image

    predictions = [one for _, _, one in shown]
    volumes = summarise_volumes(predictions, rule)
    page = await service.draw(
        lambda: batch_report(predictions, volumes, service.bundle, rule.threshold, read, margin=rule.margin)
    )
    return attached(page, "text/html", "report.html")


def _add_pictures(api: APIRouter, service: Service) -> None:
    pictures = {**errors(404, 422), 200: _PNG}

    @api.get(
        "/jobs/{job_id}/slices/{place}/picture.png",
        responses={**pictures, 200: {**_PNG, "headers": _DEEP}},
        response_class=Response,
    )
    async def picture(
        job_id: str,
        place: int,
        side: Annotated[int, Query(ge=16, le=SIDE, description="Largest width and height, pixels.")] = SIDE,
        depth: Annotated[Literal["8", "16"], Query(description="Bits per pixel.")] = "8",
        with_map: Annotated[bool, Query(description="Draw the tumor map over it, in color; with `depth=8`.")] = False,
    ) -> Response:
        """A slice with square pixels, 8-bit grey.

        With `depth=16`, a slice of more than 8 bits has 16 bits from its smallest to its largest value: red is the
        high byte, green the low byte.
        """
        job = service.jobs.find(job_id)

        def draw() -> tuple[bytes, dict[str, str]]:
            loaded = job.load(place)
            found = job.predictions[place] if place < len(job.predictions) else None  # a picture needs no prediction
            if with_map and depth == "8" and found and found.status == "ok" and found.tumor_map is not None:
                return seen_png(loaded.image.grey(), found.tumor_map, size=service.bundle.size, side=side), {}
            return deep_png(loaded, side) if depth == "16" else (picture_png(loaded.image.grey(), side), {})

        png, headers = await service.draw(draw)
        return Response(png, media_type="image/png", headers=headers)

    @api.get("/jobs/{job_id}/slices/{place}/map.png", responses=pictures, response_class=Response)
    async def tumor_map(job_id: str, place: int) -> Response:
        """The tumor map of a slice, as large as its picture: 255 stands for a certain tumor."""
        job = service.jobs.find(job_id)
        found = job.predictions[place].tumor_map if 0 <= place < len(job.predictions) else None
        if found is None:
            raise NotFoundError("map", f"of slice {place} is not there", "The network drew none.")
        png = await service.draw(lambda: map_png(job.load(place).image.grey(), found, size=service.bundle.size))
        return Response(png, media_type="image/png")


def _add_map_volume(api: APIRouter, service: Service) -> None:
    packed = {**_NOT_DONE, **content_of("application/gzip")}

    @api.get("/jobs/{job_id}/slices/{place}/map.nii.gz", responses=packed, response_class=Response)
    async def map_volume(job_id: str, place: int) -> Response:
        """The tumor maps of the volume of a slice as NIfTI: probabilities 0 to 1, 0 where no slice was scored.

        It has the shape and the affine of the file; of a DICOM series, its columns, rows and slices.
        """
        job = service.jobs.find(job_id)
        return attached(
            await service.draw(lambda: map_nifti(job, place, service.bundle)), "application/gzip", "tumor-map.nii.gz"
        )


def _add_planes(api: APIRouter, service: Service) -> None:
    pictures = {**_NOT_DONE, 200: _PNG}

    @api.get("/jobs/{job_id}/slices/{place}/planes", responses=_NOT_DONE)
    async def planes(job_id: str, place: int) -> PlanesReply:
        """The planes in which the volume of a slice can be shown; only the plane of its slices was scored."""
        job = service.jobs.find(job_id)
        volume = await service.draw(lambda: service.blocks.find(job, place))
        return PlanesReply(
            scored=volume.block.first.plane,
            planes=[
                PlaneResult(plane=cut.plane, count=cut.count, first=GeometryResult.of(cut.first), step_mm=cut.step_mm)
                for cut in map(volume.block.cut, PLANES)
            ],
            voxel_mm3=volume.block.voxel_mm3,
            voxels_above=volume.voxels_above,
            n_maps=volume.n_maps,
        )

    @api.get(
        "/jobs/{job_id}/slices/{place}/planes/{plane}/{number}/picture.png",
        responses={**pictures, 200: {**_PNG, "headers": _DEEP}},
        response_class=Response,
    )
    async def picture(job_id: str, place: int, plane: Plane, number: int) -> Response:
        """A picture of a plane, cut through the volume of a slice: 16 bits, red is the high byte, green the low one."""
        job = service.jobs.find(job_id)

        def draw() -> tuple[bytes, dict[str, str]]:
            return _cut(service.blocks.find(job, place), plane, number).picture_png(plane, number)

        png, headers = await service.draw(draw)
        return Response(png, media_type="image/png", headers=headers)

    @api.get(
        "/jobs/{job_id}/slices/{place}/planes/{plane}/{number}/map.png", responses=pictures, response_class=Response
    )
    async def tumor_map(job_id: str, place: int, plane: Plane, number: int) -> Response:
        """The tumor maps of the slices, cut like the picture of the same number."""
        job = service.jobs.find(job_id)
        png = await service.draw(lambda: _cut(service.blocks.find(job, place), plane, number).map_png(plane, number))
        return Response(png, media_type="image/png")


def _cut(volume: StackedVolume, plane: Plane, number: int) -> StackedVolume:
    """Returns the volume, where it has such a picture."""
    if not 0 <= number < volume.block.cut(plane).count:
        raise NotFoundError("picture", f"{number} is not in the {plane} plane", "Pictures count from 0.")
    return volume


def _results(service: Service, request: Request, job: Job, seconds: float) -> PredictReply:
    slices, volumes = _found(job, 0)
    return PredictReply(
        request_id=request.state.request_id,
        model=service.model,  # type: ignore[arg-type]
        threshold=job.rule.threshold,
        margin=job.rule.margin,
        rule=service.bundle.threshold_name(job.rule.threshold),
        made=_now(),
        notice=service.bundle.notice,
        answers=slices,
        volumes=volumes,
        n_skipped=job.upload.skipped.count,
        skipped=job.upload.skipped.names,
        seconds=round(seconds, 4),
    )


def _progress(request: Request, job: Job, after: int) -> JobReply:
    state = job.state  # read before the results: where it is over, they are complete
    slices, volumes = _found(job, after)
    error = ErrorReply(**job.error.to_dict(), request_id=request.state.request_id) if job.error else None
    return JobReply(
        id=job.id,
        state=state,  # type: ignore[arg-type]
        done=job.done,
        cases=job.cases,
        total=job.total,
        error=error,
        created=job.created,
        threshold=job.rule.threshold,
        margin=job.rule.margin,
        answers=slices,
        volumes=volumes,
        n_skipped=job.upload.skipped.count,
        skipped=job.upload.skipped.names,
    )


def _found(job: Job, after: int) -> tuple[list[SliceResult], list[VolumeResult]]:
    predictions, volumes = job.results(after)
    slices = [
        SliceResult.of(place, one, job.acquisition(place), file=job.file(place), maps=job.maps)
        for place, one in enumerate(predictions, after)
    ]
    return slices, [VolumeResult.of(one) for one in volumes]


def _origin_of_rows(service: Service, rule: Rule) -> dict[str, Any]:
    """Returns what made a table, for each of its rows, so that it stands alone; a row may have its own threshold."""
    model = service.model
    return {
        "threshold": rule.threshold,
        "rule": service.bundle.threshold_name(rule.threshold),
        "margin": rule.margin,
        "network": model["name"],
        "network_sha256": model["network_sha256"],
        "version": model["version"],
        "made": _now(),
    }


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
