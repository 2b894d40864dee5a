"""The history: predictions and the verdicts of readers in one SQLite file, and PNG files where wanted.

FOLDER/history.sqlite   one row per image, slice, or volume, with the reader's verdict and contour; mode 0600
FOLDER/images/          12.png and 12-map.png of case 12; folder 0700, files 0600

Deleted rows and images leave nothing in these files: SQLite overwrites the rows, and its log is emptied.
"""

import os
import sqlite3
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, get_args

from PIL import Image
from pydantic import Field, PlainSerializer

from brainsift.core.errors import InputError, NotFoundError, UsageError
from brainsift.core.files import sha256_of
from brainsift.core.reasons import Reason
from brainsift.inference.cautions import Caution
from brainsift.inference.decision import Decision, Status, rounded
from brainsift.serve.history.contours import (
    CASES,
    Contour,
    contour_of,
    grid_of,
    note_source,
    remove,
    remove_all_of,
    rows_of,
    save,
    source_size,
)
from brainsift.serve.history.database import HistoryFile, Verdict
from brainsift.serve.history.export_table import IMAGES, as_csv
from brainsift.serve.history.masks_zip import DrawnVolume, Segment, no_segmentation, write_zip
from brainsift.serve.history.search import find
from brainsift.serve.schemas import GeometryResult, Leaning
from brainsift.serve.scoring.slice_pictures import SIDE
from brainsift.volumes.geometry import Geometry
from brainsift.volumes.voxel_grid import VoxelGrid

FILE = "history.sqlite"
Layer = Literal["picture", "map"]
_MOST_EARLIER = 50  # studies of one patient
Of = Literal["images", "cases"]
_SUFFIX: dict[Layer, str] = {"picture": ".png", "map": "-map.png"}
_WANTED: dict[Of, str] = {"images": "slices = 0", "cases": "part_of IS NULL"}
# Of an image that was scored more than once: the case that was judged last, else the newest. Equal pictures are one
# image, and volumes of equal pictures are one volume.
_ONE_EACH = """
SELECT * FROM (
    SELECT one.*, whole.verdict AS volume_verdict, ROW_NUMBER() OVER (
        PARTITION BY coalesce(
            nullif(one.picture, ''),
            nullif((SELECT group_concat(picture, '') FROM cases AS own WHERE own.part_of = one.id), ''),
            one.id
        ) ORDER BY one.judged IS NULL, coalesce(one.judged, whole.judged) DESC, one.id DESC
    ) AS place FROM cases AS one LEFT JOIN cases AS whole ON whole.id = one.part_of WHERE one.{wanted}
) WHERE place = 1 ORDER BY id
"""


@dataclass(frozen=True)
class Kept:
    """The prediction for an image, a slice, or a volume as a whole, as it is kept; the probability is not rounded."""

    name: Annotated[str, Field(description="Name for display.")]
    volume: Annotated[str, Field(description="Name of the volume of a slice, or empty.")]
    status: Status
    probability: Annotated[
        float | None,
        Field(description="Calibrated probability of a tumor; null where unreadable."),
        PlainSerializer(rounded, return_type=float | None),
    ]
    decision: Decision
    leaning: Annotated[Leaning, Field(description="Side of the threshold; empty where unreadable.")]
    threshold: Annotated[float, Field(description="Threshold of the decision.")]
    detail: Annotated[str, Field(description="Why it is unreadable, not a brain MRI, or referred, in words.")]
    model: Annotated[str, Field(description="Name and version of the network.")]
    margin: Annotated[
        float, Field(description="Abstention margin: predictions nearer to 0 in logits were referred.")
    ] = 0.0
    slices: Annotated[int, Field(description="Number of slices of a volume; 0 for an image or a slice.")] = 0
    part_of: Annotated[int | None, Field(description="For a slice of a volume, the case of the volume.")] = None
    reason: Annotated[
        Reason | None,
        Field(description="The same as `detail`, as a code; null in cases that were kept before there were codes."),
    ] = Reason.NONE
    cautions: Annotated[
        tuple[Caution, ...],
        Field(description="What in its header speaks for a second look, as codes; none for a volume as a whole."),
    ] = ()
    has_focus: Annotated[
        bool | None, Field(description="Whether the tumor map passes 0.5 anywhere; null where that is not known.")
    ] = None


@dataclass(frozen=True)
class HistoryRow(Kept):
    """A prediction to keep; its picture and tumor map, PNG, are kept only where the history keeps images."""

    picture_png: bytes | None = field(default=None, repr=False)
    map_png: bytes | None = field(default=None, repr=False)
    size: tuple[int, int] | None = None
    """Width and height of the image or slice as it was decoded, pixels."""
    grid: VoxelGrid | None = None
    """The stored voxels of a volume."""
    patient: str = ""
    study_date: str = ""
    geometry: Geometry | None = None
    """Where an image or a slice lies in the patient."""


@dataclass(frozen=True, kw_only=True)
class Case(Kept):
    """A kept prediction and the reader's verdict on it."""

    id: Annotated[int, Field(description="Its number; no number is given twice.")]
    created: Annotated[str, Field(description="When it was scored, ISO 8601, UTC.")]
    picture: Annotated[bool, Field(description="Whether the image is kept.")]
    map: Annotated[bool, Field(description="Whether its tumor map is kept.")]
    verdict: Annotated[
        Verdict | None,
        Field(description="What the reader says that it shows; null without a verdict."),
    ]
    note: Annotated[str, Field(description="The reader's.")]
    study_date: Annotated[str, Field(description="Date of the DICOM study, or empty.")]
    geometry: Annotated[
        GeometryResult | None,
        Field(description="Where an image or a slice lies in the patient; null where that is not known."),
    ]
    contours: Annotated[
        int,
        Field(description="Number of its images or slices whose contour a reader corrected: 0 or 1, or of a volume."),
    ]


@dataclass(frozen=True)
class Group:
    """Images and volumes with the same outcome and the same verdict."""

    status: Status
    decision: Decision
    verdict: Verdict | None
    count: Annotated[int, Field(description="Number of them.")]


@dataclass(frozen=True)
class DrawnContour:
    """A kept contour.

    Attributes:
        drawn: when it was saved, ISO 8601, UTC.
        contour: as the reader drew it.
    """

    drawn: str
    contour: Contour


class History:
    """The history in a folder. Any thread may use it, and other processes may use the same folder.

    Args:
        folder: made where it is missing, readable by its owner only.
        keep_images: whether pictures and tumor maps are kept as well.

    Raises:
        HistoryError: the folder cannot be written, or its file is of another program or version.
    """

    def __init__(self, folder: Path, *, keep_images: bool) -> None:
        self.folder, self.keeps_images = Path(os.path.abspath(folder.expanduser())), keep_images  # noqa: PTH100
        self._file, self._images = HistoryFile(self.folder / FILE), self.folder / IMAGES
        with self._file.errors():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._images.mkdir(mode=0o700, exist_ok=True)
            self._file.prepare()
            with self._file.writing() as connection:
                self._sweep(connection)

    def record(self, rows: Sequence[HistoryRow], *, hurry: bool = False) -> list[int]:
        """Keeps predictions, all of them or none, and returns the numbers of their cases.

        Args:
            rows: the predictions.
            hurry: wait at most one second for another program that writes, and hardly at all after a failure.

        Raises:
            NotFoundError: the volume that a slice is part of is not there.
            HistoryError: it cannot be written, or another program writes for longer.
        """
        created, numbers = _now(), []
        try:
            with self._file.writing(hurry=hurry) as connection:
                for row in rows:
                    whole = connection.execute("SELECT 1 FROM cases WHERE id = ?", [row.part_of]).fetchone()
                    if row.part_of is not None and whole is None:
                        raise _no_case(row.part_of)  # it was deleted in the meantime
                    numbers.append(self._insert(connection, row, created))
                    note_source(connection, numbers[-1], row.size, row.grid)
                    self._write_images(numbers[-1], row)
        except BaseException:
            self._remove_images(numbers)
            raise
        return numbers

    def search(
        self, *, query: str = "", verdict: str = "", decision: str = "", limit: int = 50, offset: int = 0
    ) -> tuple[int, list[Case]]:
        """Finds images and volumes, the newest first; slices of a volume are not listed by themselves.

        Args:
            query: at most ten words; a case is found if its name, detail or note, or those of one of its slices,
                contain them all, in upper or lower case.
            verdict: a verdict, "none" for cases without one, or "" for all.
            decision: a decision; "not_brain_mri" or "unreadable" for cases with that status; or "" for all.
            limit: largest number of cases to return.
            offset: number of cases to skip.

        Returns:
            The number of all cases that were found, and a page of them.

        Raises:
            UsageError: more than ten words.
            SlowError: it took too long.
        """
        wanted = {"query": query, "verdict": verdict, "decision": decision}
        with self._file.errors():
            total, rows = find(self._file.connection(), **wanted, limit=limit, offset=offset)
        return total, [_case(row) for row in rows]

    def open(self, number: int) -> Case:
        """Returns a case.

        Raises:
            NotFoundError: there is no case of this number.
        """
        with self._file.errors():
            row = self._file.connection().execute(f"SELECT * FROM {CASES} WHERE id = ?", [number]).fetchone()
        if row is None:
            raise _no_case(number)
        return _case(row)

    def wholes(self, numbers: Sequence[int]) -> dict[int, Case]:
        """Returns the cases that readers judge: by number its case, or for a slice the volume as a whole.

        Args:
            numbers: of cases; those that are not there are left out.
        """
        marks = ", ".join("?" * len(numbers))
        joined = f"cases AS own JOIN {CASES} AS whole ON whole.id = ifnull(own.part_of, own.id)"
        wanted = f"SELECT own.id AS number, whole.* FROM {joined} WHERE own.id IN ({marks})"
        with self._file.errors():
            rows = self._file.connection().execute(wanted, numbers).fetchall()
        return {row["number"]: _case(row) for row in rows}

    def named(self, name: str) -> list[Case]:
        """Returns the images and volumes that have a name, or one that goes on with a space after it; oldest first."""
        query = f"SELECT * FROM {CASES} WHERE part_of IS NULL AND substr(name || ' ', 1, ?) = ? ORDER BY id"
        with self._file.errors():
            found = self._file.connection().execute(query, [len(name) + 1, f"{name} "]).fetchall()
        return [_case(row) for row in found]

    def slices(self, number: int) -> list[Case]:
        """Returns the slices of a volume, in order.

        Raises:
            NotFoundError: there is no case of this number.
        """
        self.open(number)
        with self._file.errors():
            query = f"SELECT * FROM {CASES} WHERE part_of = ? ORDER BY id"
            rows = self._file.connection().execute(query, [number]).fetchall()
        return [_case(row) for row in rows]

    def earlier(self, number: int) -> list[Case]:
        """Returns the images and volumes of the same patient from studies before that of a case, the latest first.

        Patients are told apart by the checksum of `Acquisition.patient`, never by a name.

        Raises:
            NotFoundError: there is no case of this number.
        """
        self.open(number)
        older = "older.part_of IS NULL AND older.patient = own.patient AND older.study_date < own.study_date"
        known = "own.id = ? AND own.patient != '' AND older.study_date != ''"
        wanted = f"SELECT older.id FROM cases AS older JOIN cases AS own WHERE {known} AND {older}"
        with self._file.errors():
            found = self._file.connection().execute(
                f"{wanted} ORDER BY older.study_date DESC, older.id DESC LIMIT {_MOST_EARLIER}", [number]
            )
            numbers = [row["id"] for row in found]
        return [self.open(one) for one in numbers]

    def image(self, number: int, layer: Layer) -> bytes:
        """Returns a kept picture or tumor map as PNG.

        Raises:
            NotFoundError: no such case, or it was not kept.
        """
        case = self.open(number)
        path = self._path(number, layer)
        if not (case.picture if layer == "picture" else case.map) or not path.is_file():
            raise NotFoundError(f"the {layer} of case {number}", "was not kept", "Start with --keep-images to keep it.")
        return path.read_bytes()

    def judge(self, number: int, verdict: Verdict | None, note: str = "") -> Case:
        """Saves a reader's verdict on a case; the last verdict counts.

        The verdict is what the case shows, whatever was predicted.

        Raises:
            NotFoundError: there is no case of this number.
        """
        change = "UPDATE cases SET verdict = ?, note = ?, judged = ? WHERE id = ?"
        with self._file.writing() as connection:
            judged = None if verdict is None else _after(connection.execute("SELECT max(judged) FROM cases"))
            done = connection.execute(change, [verdict, _printable(note, keep="\n\t"), judged, number])
            if not done.rowcount:
                raise _no_case(number)
        return self.open(number)

    def contour(self, number: int) -> DrawnContour | None:
        """Returns the contour that a reader drew on an image or a slice; None where nobody did.

        Raises:
            NotFoundError: there is no case of this number.
        """
        self.open(number)
        with self._file.errors():
            rows = rows_of(self._file.connection(), "case_id = ?", [number])
        return DrawnContour(rows[0]["drawn"], contour_of(rows[0])) if rows else None

    def source_size(self, number: int) -> tuple[int, int] | None:
        """Returns the width and height in pixels on which a contour of an image or a slice is drawn, as it was decoded.

        Returns:
            None where they are not known: neither was noted, and the kept picture may be smaller than the image.

        Raises:
            NotFoundError: there is no case of this number.
        """
        case = self.open(number)
        with self._file.errors():
            known = source_size(self._file.connection(), number)
        if known or not case.picture:
            return known
        with Image.open(self._path(number, "picture")) as kept:
            return kept.size if max(kept.size) < SIDE else None

    def draw(self, number: int, contour: Contour, size: tuple[int, int] | None = None) -> DrawnContour:
        """Keeps the contour that a reader drew on an image or a slice; the last one counts.

        Args:
            number: of the case.
            contour: in the pixels of the image as it was decoded.
            size: width and height of that image; by default as they are known here.

        Raises:
            NotFoundError: there is no case of this number.
            UsageError: it is a volume as a whole.
            InputError: the contour has a wrong number of pixels, its size is not that of the image, or the size of the
                image is not known.
        """
        case = self.open(number)
        if case.slices:
            rule = f"is a volume of {case.slices} slices, and a contour belongs to one slice"
            raise UsageError(f"case {number}", rule, f"Take the number of a slice from {number}/slices.")
        contour.mask()
        size = size or self.source_size(number)
        if size is None:
            rule = "cannot be checked: the size of its image is not known, because the image is no longer here"
            raise InputError(f"contour of case {number}", rule, "Score the image again, and draw on the new case.")
        if size != (contour.width, contour.height):
            rule = f"is of {contour.width} x {contour.height} pixels, the image of {size[0]} x {size[1]}"
            raise InputError("contour", rule, "Draw it in the pixels of the image as it was decoded.")
        with self._file.writing() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE id = ?", [number]).fetchone() is None:
                raise _no_case(number)  # it was deleted in the meantime
            drawn = _now()
            save(connection, number, case.part_of or number, contour, drawn)
        return DrawnContour(drawn, contour)

    def remove_contour(self, number: int) -> None:
        """Removes the contour that a reader drew: that of the network stands again.

        Raises:
            NotFoundError: there is no case of this number, or it has no such contour.
            HistoryError: it is removed, but its traces cannot be removed yet.
        """
        self.open(number)
        with self._file.writing() as connection:
            if not remove(connection, [number]):
                raise NotFoundError(
                    f"contour of case {number}", "is not there: nobody drew one", "Open the case again."
                )
        self._file.forget()

    def write_masks(self, stream: BinaryIO, segment: Segment = no_segmentation) -> None:
        """Writes all judged cases and all contours as a ZIP archive; `masks_zip` says what is in it.

        Args:
            stream: where to.
            segment: makes the DICOM segmentation of a volume.
        """
        with self._file.errors():
            connection = self._file.connection()
            rows = connection.execute(_ONE_EACH.format(wanted=_WANTED["images"])).fetchall()
            drawn = rows_of(connection)
            volumes = {row["whole"]: self._drawn_volume(connection, row["whole"]) for row in drawn}
        contours = {row["case_id"]: contour_of(row) for row in drawn}
        write_zip(stream, list(map(dict, rows)), contours, volumes, read=self._kept_picture, segment=segment)

    def _drawn_volume(self, connection: sqlite3.Connection, number: int) -> DrawnVolume:
        query = "SELECT * FROM cases WHERE ? IN (id, part_of) ORDER BY part_of IS NOT NULL, id"
        whole, *slices = connection.execute(query, [number]).fetchall()
        numbers = [row["id"] for row in slices or [whole]]
        return DrawnVolume(whole["name"], whole["verdict"] or "", whole["slices"], numbers, grid_of(connection, number))

    def _kept_picture(self, number: int) -> bytes | None:
        path = self._path(number, "picture")
        return path.read_bytes() if path.is_file() else None

    def delete(self, number: int) -> None:
        """Deletes a case, its slices and their images.

        Raises:
            NotFoundError: there is no case of this number.
            HistoryError: it is deleted, but its traces cannot be removed yet.
        """
        self.open(number)
        self._delete("? IN (id, part_of)", [number])

    def clear(self) -> int:
        """Deletes all cases and images, and returns the number of cases; raises as `delete` does."""
        return self._delete("1", [])

    def export(self, folder: str = "", of: Of = "images") -> str:
        """Returns a CSV table for `brainsift evaluate`, as predictions and as truth, and for `brainsift calibrate`.

        A picture that was scored more than once has one row: that of the case that was judged last. ``label`` is 1 or 0
        where a reader saw a tumor or none on an image with status "ok", else empty; slices of a volume that a reader
        called free of tumor have a 0, unless they have verdicts of their own. ``path`` is the path of the
        kept picture, or a placeholder where none was kept. The slices of a volume have its name as ``patient``, because
        they belong together.

        Args:
            folder: the history's folder, as the reader of the table sees it; this folder by default.
            of: "images", one row per image and per slice; or "cases", one row per image and per volume, which
                `calibrate` cannot use.
        """
        with self._file.errors():
            rows = self._file.connection().execute(_ONE_EACH.format(wanted=_WANTED[of])).fetchall()
        return as_csv(map(dict, rows), folder or str(self.folder))

    def agreement(self) -> list[Group]:
        """Returns how many images and volumes have each outcome and each verdict.

        What was scored more than once counts as in the table that `export` makes of cases.
        """
        columns = "status, decision, verdict"
        cases = _ONE_EACH.format(wanted=_WANTED["cases"])
        with self._file.errors():
            found = self._file.connection().execute(
                f"SELECT {columns}, count(*) AS count FROM ({cases}) GROUP BY {columns} ORDER BY {columns}"
            )
            return [Group(**dict(row)) for row in found]

    def close(self) -> None:
        """Closes the connections of all threads."""
        self._file.close()

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Removes pictures without a case: a process was killed while it recorded or deleted."""
        known = {str(row[0]) for row in connection.execute("SELECT id FROM cases")}
        for path in self._images.glob("*.png"):
            if path.stem.removesuffix("-map") not in known:
                path.unlink(missing_ok=True)

    def _insert(self, connection: sqlite3.Connection, row: HistoryRow, created: str) -> int:
        picture = row.picture_png if self.keeps_images else None
        kept = {name: getattr(row, name) for name in Kept.__dataclass_fields__}
        values = {
            **kept,
            **{name: _printable(kept[name]) for name in ("name", "volume", "detail")},
            "cautions": ",".join(row.cautions),
            "created": created,
            "patient": row.patient,
            "study_date": row.study_date,
            "geometry": GeometryResult.of(row.geometry).model_dump_json() if row.geometry else "",
            "picture": sha256_of(picture) if picture else "",
            "map": bool(self.keeps_images and row.map_png),
        }
        marks = ", ".join(f":{name}" for name in values)
        done = connection.execute(f"INSERT INTO cases ({', '.join(values)}) VALUES ({marks})", values)
        assert done.lastrowid is not None
        return done.lastrowid

    def _write_images(self, number: int, row: HistoryRow) -> None:
        layers: Mapping[Layer, bytes | None] = {"picture": row.picture_png, "map": row.map_png}
        for layer, png in layers.items():
            if png and self.keeps_images:
                handle = os.open(self._path(number, layer), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(png)

    def _delete(self, where: str, values: Sequence[int]) -> int:
        with self._file.writing() as connection:
            rows = connection.execute(f"SELECT id, part_of FROM cases WHERE {where}", values).fetchall()
            connection.execute(f"DELETE FROM cases WHERE {where}", values)
            remove_all_of(connection, [row["id"] for row in rows])
        with self._file.errors():
            self._remove_images([row["id"] for row in rows])
        self._file.forget()
        return sum(row["part_of"] is None for row in rows)

    def _remove_images(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            for layer in get_args(Layer):
                self._path(number, layer).unlink(missing_ok=True)

    def _path(self, number: int, layer: Layer) -> Path:
        return self._images / f"{number}{_SUFFIX[layer]}"


def _case(row: sqlite3.Row) -> Case:
    values = {name: row[name] for name in Case.__dataclass_fields__}
    reason = None if row["reason"] is None else Reason(row["reason"])
    made: dict[str, Any] = {
        "picture": bool(row["picture"]),
        "map": bool(row["map"]),
        "reason": reason,
        "geometry": GeometryResult.model_validate_json(row["geometry"]) if row["geometry"] else None,
        "cautions": tuple(Caution(code) for code in row["cautions"].split(",") if code),
        "has_focus": None if row["has_focus"] is None else bool(row["has_focus"]),
    }
    return Case(**{**values, **made})


def _printable(text: str, *, keep: str = "") -> str:
    return "".join(sign for sign in text if sign in keep or unicodedata.category(sign)[0] != "C")


def _no_case(number: int) -> NotFoundError:
    return NotFoundError(f"case {number}", "is not in the history", "It may have been deleted; search again.")


def _after(last: sqlite3.Cursor) -> str:
    """Returns the time; if the clock was set back, the moment after the last verdict, as the last verdict counts."""
    now, (before,) = _now(), last.fetchone()
    if before is None or now > before:
        return now
    return _written(datetime.fromisoformat(before) + timedelta(microseconds=1))


def _now() -> str:
    return _written(datetime.now(UTC))


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
