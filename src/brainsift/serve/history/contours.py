"""What a reader drew: the corrected contour of an image or a slice, as a mask in the pixels of its source.

A mask is kept as the lengths of its runs, row by row from the top left; the first run is outside, and they alternate.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from brainsift.core.errors import InputError
from brainsift.volumes.voxel_grid import VoxelGrid

Start = Literal["empty", "network"]
"""Where a reader began: with nothing, or with the contour of the network."""
MOST_PIXELS = 100_000_000
TABLES = (
    """
CREATE TABLE sources (
    case_id INTEGER PRIMARY KEY,
    width INTEGER,  -- pixels of an image or slice as it was decoded; NULL for a volume as a whole
    height INTEGER,
    grid TEXT NOT NULL  -- of a volume: the stored voxels, JSON; or empty
)
""",
    """
CREATE TABLE contours (
    case_id INTEGER PRIMARY KEY,  -- of an image or slice
    whole INTEGER NOT NULL,  -- the case that is listed: itself, or its volume
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    runs TEXT NOT NULL,  -- JSON
    start TEXT NOT NULL CHECK (start IN ('empty', 'network')),
    level REAL,  -- threshold on the tumor map where a contour of the network was the start
    drawn TEXT NOT NULL
)
""",
    "CREATE INDEX contours_of ON contours (whole)",
)
CASES = """
(SELECT cases.*, (SELECT count(*) FROM contours WHERE case_id = cases.id OR whole = cases.id) AS contours FROM cases)
"""
"""The table `cases` with the number of images whose contour was corrected: of an image, a slice, or a whole volume."""


@dataclass(frozen=True)
class Contour:
    """A contour as a reader drew it.

    Attributes:
        width: of the source image, pixels.
        height: of the source image, pixels.
        runs: the mask; see above.
        start: where the reader began.
        level: of the network's contour, where that was the start.
    """

    width: Annotated[int, Field(ge=1, le=MOST_PIXELS, description="Width of the source image, pixels.", examples=[4])]
    height: Annotated[int, Field(ge=1, le=MOST_PIXELS, description="Its height, pixels.", examples=[3])]
    runs: Annotated[
        list[Annotated[int, Field(ge=0, le=MOST_PIXELS)]],
        Field(
            description="Lengths of the runs of the mask, row by row from the top left; the first one is outside of "
            "the contour, and they alternate.",
            examples=[[5, 2, 5]],
        ),
    ]
    start: Annotated[
        Start, Field(description="Where the reader began: with nothing, or with the network's contour.")
    ] = "empty"
    level: Annotated[
        float | None,
        Field(ge=0, le=1, description="Threshold on the tumor map, where the network's contour was the start."),
    ] = None

    def mask(self) -> npt.NDArray[np.bool_]:
        """Returns the mask, (height, width).

        Raises:
            InputError: the runs are not as many pixels as the image has.
        """
        pixels = self.width * self.height
        if (total := sum(self.runs)) != pixels:
            rule = f"are {total} pixels long together, the image of {self.width} x {self.height} has {pixels}"
            raise InputError("runs", rule, "Count every pixel, also those behind the contour.")
        inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(inside, self.runs).reshape(self.height, self.width)

    @classmethod
    def of_mask(cls, mask: npt.NDArray[np.bool_], start: Start = "empty", level: float | None = None) -> "Contour":
        """Returns a mask (height, width) as a contour."""
        flat = np.concatenate([[False], mask.ravel()])
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
        return cls(mask.shape[1], mask.shape[0], runs, start, level)


def note_source(
    connection: sqlite3.Connection, number: int, size: tuple[int, int] | None, grid: VoxelGrid | None
) -> None:
    """Keeps what a mask of a case is drawn on, where something of it is known.

    Args:
        connection: that writes.
        number: of the case.
        size: width and height of an image or slice as it was decoded, pixels.
        grid: the stored voxels of a volume.
    """
    if size or grid:
        values = [number, *(size or (None, None)), json.dumps(asdict(grid)) if grid else ""]
        connection.execute("INSERT INTO sources VALUES (?, ?, ?, ?)", values)


def source_size(connection: sqlite3.Connection, number: int) -> tuple[int, int] | None:
    """Returns width and height of the source of an image or slice, pixels; None where they are not known."""
    for table in ("contours", "sources"):
        row = connection.execute(f"SELECT width, height FROM {table} WHERE case_id = ?", [number]).fetchone()
        if row and row["width"]:
            return row["width"], row["height"]
    return None


def grid_of(connection: sqlite3.Connection, number: int) -> VoxelGrid | None:
    """Returns the stored voxels of a volume; None where they are not known."""
    row = connection.execute("SELECT grid FROM sources WHERE case_id = ?", [number]).fetchone()
    return VoxelGrid.of_dict(json.loads(row["grid"])) if row and row["grid"] else None


def save(connection: sqlite3.Connection, number: int, whole: int, contour: Contour, drawn: str) -> None:
    """Keeps the contour of a case, in place of the one before."""
    values = [
        number,
        whole,
        contour.width,
        contour.height,
        json.dumps(contour.runs),
        contour.start,
        contour.level,
        drawn,
    ]
    connection.execute(f"INSERT OR REPLACE INTO contours VALUES ({', '.join('?' * len(values))})", values)


def contour_of(row: sqlite3.Row | Mapping[str, Any]) -> Contour:
    """Returns the contour of a row of the table."""
    return Contour(row["width"], row["height"], json.loads(row["runs"]), row["start"], row["level"])


def rows_of(connection: sqlite3.Connection, where: str = "1", values: Sequence[int] = ()) -> list[sqlite3.Row]:
    """Returns rows of the table of contours, in the order of their cases."""
    return connection.execute(f"SELECT * FROM contours WHERE {where} ORDER BY case_id", values).fetchall()


def remove(connection: sqlite3.Connection, numbers: Iterable[int]) -> int:
    """Removes the contours of cases, and returns how many there were."""
    return sum(connection.execute("DELETE FROM contours WHERE case_id = ?", [one]).rowcount for one in numbers)


def remove_all_of(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Removes all that is kept of cases that are deleted."""
    remove(connection, numbers)
    connection.executemany("DELETE FROM sources WHERE case_id = ?", [[one] for one in numbers])
