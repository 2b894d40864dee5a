"""The routes of the history, under /api/v1/history."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from brainsift.core.errors import NotFoundError
from brainsift.serve.history.database import Verdict
from brainsift.serve.history.store import Case, Group, History, Of
from brainsift.serve.http.requests import refuse_unknown_query
from brainsift.serve.http.responses import answers, attached

PREFIX = "/api/v1/history"
_LARGEST = 2**63 - 1  # integer of SQLite
_EXAMPLE: dict[str, Any] = {
    "id": 12,
    "created": "2026-03-02T09:30:00.000000Z",
    "name": "scan.nii.gz#48",
    "volume": "scan.nii.gz",
    "status": "ok",
    "probability": 0.934211,
    "decision": "tumor",
    "leaning": "tumor",
    "threshold": 0.55629,
    "detail": "",
    "model": "lite0-slim 0.1.0",
    "margin": 0.0,
    "slices": 0,
    "part_of": 11,
    "reason": "",
    "picture": True,
    "map": True,
    "cautions": [],
    "has_focus": True,
    "verdict": "tumor",
    "note": "left temporal, seen on the next slices too",
    "study_date": "2026-02-27",
    "geometry": {
        "plane": "axial",
        "sides": ["R", "L", "A", "P"],
        "center_mm": [1.5, -20.0, 48.0],
        "size_mm": [240.0, 240.0],
        "right": [1.0, 0.0, 0.0],
        "down": [0.0, 1.0, 0.0],
    },
    "contours": 1,
}
VerdictFilter = Literal["", "tumor", "no_tumor", "unsure", "not_brain_mri", "none"]
Outcome = Literal["", "tumor", "no_tumor", "refer", "not_brain_mri", "unreadable"]
Number = Annotated[int, Path(ge=1, le=_LARGEST, description="Number of the case.", examples=[12])]


class CasesOut(BaseModel):
    """A page of cases, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"total": 1, "cases": [_EXAMPLE]}]})

    total: int
    cases: list[Case]


class VerdictIn(BaseModel):
    """A reader's verdict on a case; the last one counts."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"verdict": "no_tumor", "note": "a vessel"}]}
    )

    verdict: Verdict | None
    note: str = Field("", max_length=2000)


class NumbersIn(BaseModel):
    """Numbers of cases."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"numbers": [12, 13]}]})

    numbers: list[Annotated[int, Field(ge=1, le=_LARGEST)]] = Field(max_length=1000)


class DeletedOut(BaseModel):
    """The number of cases that were deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deleted": 3}]})

    deleted: int


def need(history: History | None) -> Callable[[], History]:
    """Returns what gives the history to a route, or replies "not found" where none is kept."""

    def kept() -> History:
        if history is None:
            raise NotFoundError("history", "is not kept", "Start the service with --keep FOLDER.")
        return history

    return kept


def router(history: History | None) -> APIRouter:
    """Makes the routes; without a history all of them reply "not found".

    Args:
        history: None where the service keeps none.
    """
    made = APIRouter(prefix=PREFIX, tags=["history"], dependencies=[Depends(refuse_unknown_query)])
    needed = Annotated[History, Depends(need(history))]
    _add_lists(made, needed)
    _add_cases(made, needed)
    _add_images(made, needed)
    return made


def _add_lists(made: APIRouter, kept: Any) -> None:
    @made.get("", summary="Search the history, the newest first")
    def search(
        history: kept,
        *,
        query: Annotated[str, Query(max_length=200, description="At most ten words of name, detail or note.")] = "",
        verdict: Annotated[VerdictFilter, Query(description="`none`: cases without a verdict.")] = "",
        decision: Annotated[Outcome, Query(description="Or the status, of what was not scored.")] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0, le=_LARGEST)] = 0,
    ) -> CasesOut:
        total, cases = history.search(query=query, verdict=verdict, decision=decision, limit=limit, offset=offset)
        return CasesOut(total=total, cases=cases)

    @made.post("/lookup", summary="The cases by their numbers; of a slice, the case of its volume")
    def lookup(history: kept, wanted: NumbersIn) -> dict[int, Case]:
        return history.wholes(wanted.numbers)

    @made.get("/agreement", summary="How often decisions and verdicts go together")
    def agreement(history: kept) -> list[Group]:
        return history.agreement()

    @made.delete("", summary="Delete all cases and images")
    def clear(history: kept) -> DeletedOut:
        return DeletedOut(deleted=history.clear())

    @made.get("/export.csv", summary="For `brainsift evaluate` and `brainsift calibrate`", **answers("text/csv"))
    def export(
        history: kept,
        folder: Annotated[
            str, Query(max_length=1000, description="The history's folder, as the reader of the table sees it.")
        ] = "",
        of: Annotated[
            Of, Query(description="One row per image and slice, or one row per image and volume.")
        ] = "images",
    ) -> Response:
        return attached(history.export(folder, of), "text/csv; charset=utf-8", "history.csv")


def _add_cases(made: APIRouter, kept: Any) -> None:
    @made.get("/{number}", summary="Open a case")
    def open_case(history: kept, number: Number) -> Case:
        return history.open(number)

    @made.get("/{number}/slices", summary="The slices of a volume, in order")
    def slices(history: kept, number: Number) -> list[Case]:
        return history.slices(number)

    @made.get("/{number}/earlier", summary="Earlier studies of the same patient, the latest first")
    def earlier(history: kept, number: Number) -> list[Case]:
        return history.earlier(number)

    @made.put("/{number}/verdict", summary="Save your verdict on a case")
    def judge(history: kept, number: Number, verdict: VerdictIn) -> Case:
        return history.judge(number, verdict.verdict, verdict.note)

    @made.delete("/{number}", status_code=204, summary="Delete a case, its slices and their images")
    def delete(history: kept, number: Number) -> None:
        history.delete(number)


def _add_images(made: APIRouter, kept: Any) -> None:
    @made.get("/{number}/picture.png", summary="The kept picture", **answers("image/png"))
    def picture(history: kept, number: Number) -> Response:
        return Response(history.image(number, "picture"), media_type="image/png")

    @made.get("/{number}/map.png", summary="The kept tumor map", **answers("image/png"))
    def tumor_map(history: kept, number: Number) -> Response:
        return Response(history.image(number, "map"), media_type="image/png")
