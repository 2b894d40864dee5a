"""Typed records and their JSON: what is written is read back, and what does not fit is refused by name."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from brainsift.core.errors import InputError
from brainsift.core.reasons import Reason
from brainsift.core.records import OMITTED, REMAINING, UNWRITTEN, Record
from brainsift.stats.intervals import Interval


@dataclass(frozen=True)
class Piece(Record):
    name: str
    score: Interval
    counts: dict[str, int] = field(default_factory=dict, metadata=REMAINING)


@dataclass(frozen=True)
class Whole(Record):
    SCHEMA: ClassVar[int] = 1
    loss: float
    sure: bool
    pieces: tuple[Piece, ...]
    by_name: dict[str, Piece | None]
    setting: int | float | str
    note: str | None = None
    more: tuple[str, ...] | None = field(default=None, metadata=OMITTED)


WHOLE = Whole(
    math.nan, True, (Piece("a", Interval(0.5, 0.4), {"n": 3}),), {"b": None, "c": Piece("c", Interval(1.0))}, 3
)


def test_a_record_survives_json():
    stored = json.loads(json.dumps(WHOLE.to_json(), allow_nan=False))
    assert stored["schema"] == 1 and stored["loss"] is None and "more" not in stored
    assert stored["pieces"] == [{"name": "a", "score": {"value": 0.5, "low": 0.4, "high": None}, "n": 3}]
    again = Whole.from_json(stored)
    assert json.dumps(again.to_json()) == json.dumps(stored)
    assert again.by_name["b"] is None and again.by_name["c"].score.value == 1.0
    assert again.pieces[0].counts == {"n": 3} and type(again.setting) is int
    assert math.isnan(again.loss) and math.isnan(again.pieces[0].score.high)


def test_a_file_without_a_schema_is_the_first_and_entries_that_are_not_known_are_passed_over(tmp_path):
    stored = WHOLE.to_json()
    del stored["schema"]
    (tmp_path / "whole.json").write_text(json.dumps({**stored, "invented": 1}))
    again = Whole.read(tmp_path / "whole.json")
    again.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "has schema 2; this version reads schema 1"),
        ({"loss": "low"}, "loss: must be float, not 'low'"),
        ({"loss": True}, "loss: must be float, not True"),
        ({"sure": 1}, "sure: must be bool, not 1"),
        ({"setting": []}, "setting: must be str"),
        ({"pieces": [{"score": None}]}, "pieces, 0: lacks `name`"),
        ({"pieces": "none"}, "pieces: must be"),
        ({"by_name": {"b": {"name": "b", "score": {"value": "x"}}}}, "by_name, b, score: must hold numbers"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    with pytest.raises(InputError, match=r"whole\.json") as refused:
        Whole.from_json({**WHOLE.to_json(), **change}, "whole.json")
    assert words in str(refused.value)


def test_no_object_is_refused():
    with pytest.raises(InputError, match="must be a JSON object, not list"):
        Whole.from_json([])


@dataclass(frozen=True)
class Answer(Record):
    side: Literal["left", "right"]
    why: Reason = Reason.NONE
    files: tuple[Path, ...] = ()
    pixels: object = field(default=None, metadata=UNWRITTEN)


def test_words_of_a_closed_list_paths_and_what_is_never_written():
    stored = Answer("left", Reason.BLANK, (Path("a/b.csv"),), pixels=object()).to_json()
    assert stored == {"side": "left", "why": str(Reason.BLANK), "files": ["a/b.csv"]}
    again = Answer.from_json({**stored, "pixels": "smuggled"})
    assert again == Answer("left", Reason.BLANK, (Path("a/b.csv"),))
    assert type(again.why) is Reason and again.pixels is None
    for broken in ({"side": "middle"}, {"side": "left", "why": "because"}, {"side": "left", "files": [1]}):
        with pytest.raises(InputError, match=list(broken)[-1]):
            Answer.from_json(broken)
