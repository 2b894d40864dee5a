"""DICOM images to stacks: what belongs to one pass through the head, in order, without copies, with gaps named.

One series often holds several stacks at the same places: two echoes, magnitude and phase, b-values, points in time, the
three planes of a localizer. Interleaved, their slices would be taken for neighbors, so each stack is a volume.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from brainsift.volumes.slices import Slice

_PLANES = ("sagittal", "coronal", "axial")  # by the axis of the patient that they are cut across
_PARALLEL = 0.99  # cosine between directions that count as the same
_SAME_PLACE_MM = 0.01
_EVEN = 0.1  # of the usual distance between slices: so even are most of the others before a gap counts
_GAP = 1.75  # times the usual distance: a slice is missing
_MIN_SLICES = 4  # before a gap can be told
_MAX_GAPS = 3  # that a note names
_MIN_ALIKE = 3  # frames at one position before that is no position
_MOMENTS = ("time", "acquisition", "trigger", "dimensions")  # what tells one time from another
_SAME_TIME = 1.01  # times of one pass differ by less from the next longer one: rounded, or set slice by slice


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a DICOM file, and what its header says of where it belongs.

    Attributes:
        slice: without the name of its volume.
        instance: SOPInstanceUID; "" where the header has none.
        number: InstanceNumber; 0 where the header has none.
        file: key that puts the files in their natural order.
        size: of its file in bytes.
        index: of the frame in its file.
        position: (3,) mm; None where the header has none.
        directions: (2, 3), unit vectors along rows and columns; None where the header has none.
        location: SliceLocation in mm; None where the header has none.
        properties: what makes another stack, by name, in words: {"b-value": "b=1000", "echo": "echo 2"}.
        times: what makes another stack where it differs by more than one percent, in ms: {"TE": 20.0}.
        settings: what makes another stack only where places would repeat without it, because it may also change from
            slice to slice: {"acquisition": "acquisition 2"}.
    """

    slice: Slice
    instance: str = ""
    number: float = 0.0
    file: str = ""
    size: int = 0
    index: int = 0
    position: npt.NDArray[np.float64] | None = None
    directions: npt.NDArray[np.float64] | None = None
    location: float | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> float | None:
        """Where it lies along the normal of its plane, mm; its SliceLocation where the plane is not known."""
        if self.position is None or self.directions is None:
            return self.location
        return float(np.cross(*self.directions) @ self.position)


_Stack = tuple[tuple[str, ...], list[Frame]]  # in words, what tells it from the others of its series


def stacks_of(frames: Sequence[Frame], name: str) -> list[Slice]:
    """Returns the slices of one series, stack after stack and in order, each with the name of its volume.

    In a stack, slices are sorted by their position along the normal of their plane, else by their location, else by
    their number, else by the name of their file. One position for all slices is none. Copies of an image count once,
    and missing slices are noted.

    Args:
        frames: of one series.
        name: of the series; where it has several stacks, what tells a stack from the others follows the name.
    """
    kept = _without_false_positions(_without_copies(frames))
    stacks: list[_Stack] = _split(((), kept), _plane_names(kept))
    for kind in dict.fromkeys(kind for frame in kept for kind in frame.properties):
        stacks = [
            part
            for stack in stacks
            for part in _split(stack, [frame.properties.get(kind, "") for frame in stack[1]], unless_each=True)
        ]
    for kind in dict.fromkeys(kind for frame in kept for kind in frame.times):
        stacks = [part for stack in stacks for part in _split(stack, _time_names(kind, stack[1]), unless_each=True)]
    for kind in dict.fromkeys(kind for frame in kept for kind in frame.settings):
        stacks = [
            part
            for stack in stacks
            for part in _split(
                stack, [frame.settings.get(kind, "") for frame in stack[1]] if _repeats(stack[1]) else []
            )
        ]
    stacks = [part for stack in stacks for part in _split(stack, _repeat_names(stack[1]))]
    times_named = Counter[str]()
    found: list[Slice] = []
    for words, stack in stacks:
        volume = ", ".join([name, *filter(None, words)])
        times_named[volume] += 1
        if times_named[volume] > 1:
            volume = f"{volume} ({times_named[volume]})"
        ranks = _ranks(stack)
        ordered = sorted(stack, key=lambda frame: (ranks[id(frame)], *_turn(frame)))
        gaps = _gaps(ordered)
        for frame in ordered:
            acquisition = replace(frame.slice.acquisition, incomplete=bool(gaps))
            found.append(replace(frame.slice.noted(gaps), volume=volume, acquisition=acquisition))
    return found


def natural(name: str) -> str:
    """Returns a key that puts IM2 before IM10."""
    return re.sub(r"\d+", lambda found: found[0].zfill(12), name)


def _without_copies(frames: Sequence[Frame]) -> list[Frame]:
    """Keeps one of the images that share their identifier, number and place: the largest file, since others end early.

    One identifier for different places is a mistake of an anonymizer, not a copy.
    """
    images: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        place = None if frame.position is None else tuple(frame.position.round(3))
        known = frame.instance and (place or frame.number)
        key = (frame.instance, frame.index, frame.number, place) if known else (id(frame),)
        images.setdefault(key, []).append(frame)
    kept = []
    for copies in images.values():
        frame = max(copies, key=lambda copy: copy.size)  # the first of those that are alike
        if len(copies) > 1:
            frame = replace(frame, slice=frame.slice.noted(f"counted once of {len(copies)} copies"))
        kept.append(frame)
    return kept


def _without_false_positions(frames: list[Frame]) -> list[Frame]:
    """Leaves out the position where all frames of a series have the same, as some anonymizers write it.

    It stays where each frame is of another time: then one slice was imaged again and again.
    """
    positions = [frame.position for frame in frames if frame.position is not None]
    if len(frames) < _MIN_ALIKE or len(positions) < len(frames) or np.ptp(positions, axis=0).max() > _SAME_PLACE_MM:
        return frames
    located = len({frame.location for frame in frames}) > 1
    moments = {tuple({**frame.properties, **frame.settings}.get(kind) for kind in _MOMENTS) for frame in frames}
    if not located and len(moments) == len(frames):
        return frames
    order = "SliceLocation" if located else "InstanceNumber"
    note = f"its header gives all slices one position: they are in the order of {order}"
    places = [frame.location if located else None for frame in frames]
    return [
        replace(frame, position=None, location=place, slice=frame.slice.noted(note))
        for frame, place in zip(frames, places, strict=True)
    ]


def _plane_names(frames: Sequence[Frame]) -> list[str]:
    """Names the plane of each frame; planes of one kind that are turned against each other are numbered."""
    known: list[tuple[npt.NDArray[np.float64], str]] = []
    names: list[str] = []
    for frame in frames:
        if frame.directions is None:
            names.append("")
            continue
        same = (name for one, name in known if (one * frame.directions).sum(axis=1).min() > _PARALLEL)
        name = next(same, "")
        if not name:
            plane = _PLANES[int(np.abs(np.cross(*frame.directions)).argmax())]
            count = 1 + sum(other.startswith(plane) for _, other in known)
            name = f"{plane} {count}" if count > 1 else plane
            known.append((frame.directions, name))
        names.append(name)
    return names


def _time_names(kind: str, frames: Sequence[Frame]) -> list[str]:
    """Names a time of each frame, times that follow each other closely alike; "" where the header has none."""
    known: dict[float, str] = {}
    before, name = 0.0, ""
    for time in sorted({frame.times[kind] for frame in frames if kind in frame.times}):
        if not name or time > before * _SAME_TIME:
            name = f"{kind} {time:.4g} ms"
        known[time], before = name, time
    return [known[frame.times[kind]] if kind in frame.times else "" for frame in frames]


def _split(stack: _Stack, values: Sequence[str], *, unless_each: bool = False) -> list[_Stack]:
    """Divides a stack by a value of its frames, in the natural order of the values.

    Args:
        stack: to be divided.
        values: one for each frame.
        unless_each: leave a stack as it is where three or more frames differ from each other and lie at different
            places: then the value changes along the stack.
    """
    words, frames = stack
    distinct = sorted(set(values), key=natural)
    if len(distinct) < 2:
        return [stack]
    if unless_each and len(distinct) == len(frames) > 2 and not _repeats(frames):
        return [stack]
    common = set.intersection(*(set(value.split("/")) for value in distinct))
    return [
        (
            (*words, "/".join(word for word in value.split("/") if word not in common)),
            [frame for frame, own in zip(frames, values, strict=True) if own == value],
        )
        for value in distinct
    ]


def _repeats(frames: Sequence[Frame]) -> bool:
    """Tells whether two frames lie at the same place."""
    return any(_repeat_names(frames))


def _repeat_names(frames: Sequence[Frame]) -> list[str]:
    """Numbers the frames that lie at one place: "" for the first of them, "repeat 2" for the next."""
    ranks, counts = _ranks(frames), Counter[int]()
    names = dict.fromkeys(map(id, frames), "")
    for frame in sorted(frames, key=lambda frame: (ranks[id(frame)], *_turn(frame))):
        rank = ranks[id(frame)]
        counts[rank] += 1
        if rank and counts[rank] > 1:
            names[id(frame)] = f"repeat {counts[rank]}"
    return list(names.values())


def _ranks(frames: Sequence[Frame]) -> dict[int, int]:
    """Numbers the places of frames in their order from 1; 0 is an unknown place. Keys are the identities of frames."""
    places = [(place, id(frame)) for frame in frames if (place := frame.place) is not None]
    ranks, rank, before = dict.fromkeys(map(id, frames), 0), 0, -math.inf
    for place, key in sorted(places):
        rank += place - before > _SAME_PLACE_MM
        ranks[key], before = rank, place
    return ranks


def _turn(frame: Frame) -> tuple[float, str, int]:
    return frame.number, frame.file, frame.index


def _gaps(ordered: Sequence[Frame]) -> str:
    """Tells where slices are missing in a stack whose slices are evenly spaced otherwise; "" where none is."""
    places = np.array([place for frame in ordered if (place := frame.place) is not None])
    if len(places) < max(len(ordered), _MIN_SLICES):
        return ""
    steps = np.diff(places)
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) <= _EVEN * usual) < 0.5:
        return ""
    words = []
    for gap in np.flatnonzero(steps > _GAP * usual):
        n_missing = round(float(steps[gap] / usual)) - 1
        are = "slice is" if n_missing == 1 else "slices are"
        words.append(f"{n_missing} {are} missing between {gap + 1} and {gap + 2} of {len(ordered)}")
    return "; ".join([*words[:_MAX_GAPS], *(["more are missing"] if len(words) > _MAX_GAPS else [])])
