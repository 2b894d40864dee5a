"""Bundle and images to predictions; needs no torch.

Threads decode a few files each and ask the network about them, each on one core: that keeps all cores busier than
sharing out every product of the network. What is in memory does not grow with the number of files, and the order of the
answers is that of the files. DICOM and NIfTI files are answered slice by slice.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from brainsift.core import files
from brainsift.core.environment import cores
from brainsift.core.errors import BrainsiftError, InputError, UsageError
from brainsift.core.labels import CLASS_NAMES
from brainsift.images.decode import DecodedImage, decode, from_array, from_pillow
from brainsift.images.plausibility import foreign_reason
from brainsift.images.preprocess import network_input, preprocess_decoded
from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.inference.familiarity import UNFAMILIAR
from brainsift.volumes.dicom import header_reason as dicom_reason
from brainsift.volumes.dicom import load_dataset, read_bytes
from brainsift.volumes.reader import find_slice, slices_of
from brainsift.volumes.slices import NEARLY_EMPTY, Coarse, Loaded, Slice, broken_slice, nearly_empty

if TYPE_CHECKING:
    from pydicom import Dataset

COLUMNS = ("path", "status", "probability", "decision", "detail", "volume")
REFER = "refer"
UNSURE = "not sure enough for the wanted share of errors"
Source = Union[str, Path, bytes, npt.NDArray[np.generic], Image.Image, "Dataset"]
BATCH = 4  # images a batch: their activations stay in the processor's cache
_AHEAD = 8  # batches a thread that wait or whose answers do


@dataclass(frozen=True)
class Prediction:
    """The answer for one image, or one slice of a volume.

    Attributes:
        path: as given; of a slice ``scan.nii.gz#12``, ``file.dcm``, or ``file.dcm#3`` for a frame.
        status: "ok", "not_brain_mri" or "unreadable".
        probability: calibrated probability of tumor; None where unreadable.
        decision: "tumor", "no_tumor" or "refer", "" where unreadable. What is no brain MRI is referred.
        detail: why an image is unreadable, no brain MRI, or referred; or what else to know of how it was read.
        tumor_map: float32 (h, w), how strongly each place of the network's input looks like a tumor, 0 to 1; None
            where the network draws none.
        volume: path of the NIfTI file or name of the DICOM series; "" for a plain image.
    """

    path: str
    status: str
    probability: float | None
    decision: str
    detail: str = ""
    tumor_map: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    volume: str = ""

    def to_dict(self) -> dict[str, str | float | None]:
        """Returns all but the map."""
        return {name: getattr(self, name) for name in COLUMNS}


@dataclass(frozen=True)
class Rule:
    """What makes a probability a decision.

    Attributes:
        threshold: from which on the decision is "tumor".
        margin: nearer to 0 in logits, an answer is referred.
        volume_threshold: from which on a volume is "tumor"; None: as `threshold`.
    """

    threshold: float
    margin: float = 0.0
    volume_threshold: float | None = None

    @property
    def of_volumes(self) -> "Rule":
        """The rule for a volume as a whole."""
        return Rule(self.threshold if self.volume_threshold is None else self.volume_threshold, self.margin)

    def decide(self, probability: float) -> str:
        """Returns "tumor", "no_tumor" or "refer"."""
        if abs(log_odds(probability)) < self.margin:
            return REFER
        return CLASS_NAMES[int(probability >= self.threshold)]


def make_rule(bundle: Bundle, *, threshold: str | float | None = None, max_error: float | None = None) -> Rule:
    """Finds the rule that is wanted; for the arguments see `Predictor`.

    Where nothing is wanted, images are decided at `balanced`, and volumes at `confirm` if that is higher: of a hundred
    slices one is sooner taken for a tumor than of one.

    Raises:
        UsageError: a threshold or a share that the bundle does not know.
    """
    if max_error is not None and threshold not in (None, "even"):
        raise UsageError(
            "threshold", "must be `even` with max_error, which promises nothing for others", "Leave it out."
        )
    if threshold is None and max_error is None:
        balanced = bundle.threshold("balanced")
        return Rule(balanced, volume_threshold=max(balanced, bundle.thresholds.get("confirm", balanced)))
    margin = 0.0 if max_error is None else bundle.margin(max_error)
    return Rule(bundle.threshold("even" if threshold is None else threshold), margin)


@dataclass(frozen=True, eq=False)
class _Answers:
    """What the network says of a batch: (n,) logits, and where it draws maps, (n, h, w) maps and (n,) distances."""

    logits: npt.NDArray[np.float64]
    maps: npt.NDArray[np.float32] | None = None
    distances: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Read:
    """A preprocessed image, why it cannot be judged, and for a slice, what it is compared with others by."""

    pixels: npt.NDArray[np.uint8]
    reason: str
    coarse: Coarse | None = None


class Predictor:
    """A loaded network.

    Args:
        bundle: from `load_bundle`; the one that comes with the package by default.
        threshold: one of the bundle's, by name, or the wanted sensitivity; by default `balanced`, for volumes
            `confirm`, and `even` with ``max_error``.
        max_error: of the answers given, the largest share that may be wrong: what is not sure enough for that is
            referred. None refers nothing. The promise holds for the threshold `even` only.
        threads: that decode and score; 0 for all cores.

    Raises:
        UsageError: a threshold or a share that the bundle does not know, or a negative number of threads.
        BundleError: no bundle comes with the package.
    """

    def __init__(
        self,
        bundle: Bundle | None = None,
        *,
        threshold: str | float | None = None,
        max_error: float | None = None,
        threads: int = 0,
    ) -> None:
        if threads < 0:
            raise UsageError("threads", f"must be 0 or more, not {threads}", "0 takes all cores.")
        self.bundle = bundle or load_bundle()
        self.rule = make_rule(self.bundle, threshold=threshold, max_error=max_error)
        self.threads = threads or cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(self.bundle.network), options, providers=["CPUExecutionProvider"]
        )
        self._familiarity = self.bundle.familiarity()

    @property
    def threshold(self) -> float:
        """Of the rule."""
        return self.rule.threshold

    @property
    def margin(self) -> float:
        """Of the rule."""
        return self.rule.margin

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Returns the calibrated probability of tumor, (n,), of preprocessed pixels (n, size, size[, 3])."""
        return self._probabilities(self._ask(pixels))

    def score(self, image: Source, *, name: str = "image") -> Prediction:
        """Answers for one image.

        Args:
            image: a path, the name of a slice, the content of an image or DICOM file, a Pillow image, a
                `pydicom.Dataset` of one frame, or an array: (height, width) of any range, or (height, width, 3) uint8.
            name: what the answer calls an image that is no path.

        Raises:
            UsageError: a file of several slices.

        >>> from brainsift.images.phantom import draw
        >>> answer = Predictor(threads=1).score(draw(0, tumor=True).pixels)
        >>> answer.status, answer.probability > 0.5, answer.tumor_map.shape
        ('ok', True, (16, 16))
        """
        try:
            piece = find_slice(image) if isinstance(image, str | Path) else _slice(image, name)
        except InputError as error:
            return next(self.answer([(_slice(b"", str(image)), error)]))[0]
        return next(self.answer([(piece, self.read(piece))]))[0]

    def predict(self, paths: Iterable[str | Path]) -> Iterator[Prediction]:
        """Yields one answer a file, in order; a file that cannot be read is reported, never fatal.

        DICOM and NIfTI files give one answer a slice, in the order of the slices; the answers for a volume come when
        all of its slices are read, because the largest of them tells which hold too little of the head.

        >>> [answer.status for answer in Predictor(threads=1).predict(["nowhere.png"])]
        ['unreadable']
        """
        for volume, answers in groupby(self._scored(paths), key=lambda answer: answer[0].volume):
            if volume:
                yield from settled(list(answers))
            else:
                yield from (answer for answer, _ in answers)

    def _scored(self, paths: Iterable[str | Path]) -> Iterator[tuple[Prediction, Coarse | None]]:
        pieces = slices_of(paths)
        batches = iter(lambda: list(islice(pieces, BATCH)), [])
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[list[tuple[Prediction, Coarse | None]]]] = deque()
            while True:
                room = _AHEAD * self.threads - len(waiting)
                waiting.extend(pool.submit(self._batch, batch) for batch in islice(batches, room))
                if not waiting:
                    return
                yield from waiting.popleft().result()

    def _batch(self, pieces: Sequence[Slice]) -> list[tuple[Prediction, Coarse | None]]:
        return list(self.answer([(piece, self.read(piece)) for piece in pieces]))

    def read(self, piece: Slice) -> Read | InputError:
        """Decodes and preprocesses a slice; returns the error of one that cannot be read."""
        try:
            loaded = piece.load()
            pixels = preprocess_decoded(loaded.image, preprocessing=self.bundle.preprocessing, size=self.bundle.size)
        except InputError as error:
            return error
        reason = piece.reason or (foreign_reason(loaded.image, pixels) if self._familiarity else "")
        return Read(pixels, reason, loaded.coarse)

    def answer(
        self, jobs: Sequence[tuple[Slice, Read | InputError]], rules: Sequence[Rule] | None = None
    ) -> Iterator[tuple[Prediction, Coarse | None]]:
        """Yields the answers for a batch of slices that were read, each with what `settled` compares slices by.

        Args:
            jobs: slices and what `read` returned.
            rules: one a slice; the predictor's own by default.
        """
        pixels = [read.pixels for _, read in jobs if not isinstance(read, InputError)]
        answers = self._ask(np.stack(pixels)) if pixels else _Answers(np.zeros(0))
        probabilities, place = self._probabilities(answers), 0
        for (piece, read), rule in zip(jobs, rules or [self.rule] * len(jobs), strict=True):
            if isinstance(read, InputError):
                detail = f"{read.rule}. {read.remedy}"
                yield Prediction(piece.name, "unreadable", None, "", detail, volume=piece.volume), None
                continue
            reason = read.reason or self._unfamiliar(answers, place)
            answer = _decided(piece, float(probabilities[place]), reason, rule)
            tumor_map = None if answers.maps is None else answers.maps[place]
            yield replace(answer, tumor_map=tumor_map), read.coarse
            place += 1

    def _unfamiliar(self, answers: _Answers, place: int) -> str:
        if self._familiarity is None or answers.distances is None:
            return ""
        return UNFAMILIAR if answers.distances[place] > self._familiarity.limit else ""

    def _ask(self, pixels: npt.NDArray[np.uint8]) -> _Answers:
        found = self._session.run(None, {"images": network_input(pixels)})
        logits = found[0].astype(np.float64)
        if (
            len(found) == 1 or self.bundle.preprocessing != "standard"
        ):  # only `standard` can be laid back over the image
            return _Answers(logits)
        maps = 1 / (1 + np.exp(-np.clip(found[1], -30, 30)))
        return _Answers(logits, maps, self._familiarity.distances(found[2]) if self._familiarity else None)

    def _probabilities(self, answers: _Answers) -> npt.NDArray[np.float64]:
        return 1 / (1 + np.exp(-answers.logits / self.bundle.temperature))


def _decided(piece: Slice, probability: float, reason: str, rule: Rule) -> Prediction:
    decision = REFER if reason else rule.decide(probability)
    why = reason or (UNSURE if decision == REFER else "")
    detail = "; ".join(part for part in (why, piece.note) if part)
    status = "not_brain_mri" if reason else "ok"
    return Prediction(piece.name, status, round(probability, 6), decision, detail, volume=piece.volume)


def settled(scored: Sequence[tuple[Prediction, Coarse | None]]) -> list[Prediction]:
    """Refers the slices of one volume that hold too little of the head, which only all of them together tell.

    Args:
        scored: as `Predictor.answer` yields them, all slices of the volume in order.
    """
    empty = nearly_empty([coarse for _, coarse in scored])
    return [_without_head(answer) if one else answer for (answer, _), one in zip(scored, empty, strict=True)]


def log_odds(probability: float) -> float:
    """Returns the logit of a probability, within ±27.6."""
    clipped = min(max(float(probability), 1e-12), 1 - 1e-12)
    return float(np.log(clipped / (1 - clipped)))


def _slice(image: Source, name: str) -> Slice:
    if isinstance(image, bytes) and image[128:132] == b"DICM":
        try:
            image = read_bytes(image, name=name)
        except BrainsiftError as error:
            return broken_slice(name, "", error)
    if hasattr(type(image), "pixel_array"):  # a pydicom.Dataset
        return Slice(name, "", partial(load_dataset, image, name=name), dicom_reason(image))  # type: ignore[arg-type]
    return Slice(name, "", lambda: Loaded(_decoded(image)))


def _without_head(answer: Prediction) -> Prediction:
    if answer.status != "ok":
        return answer
    return replace(answer, status="not_brain_mri", decision=REFER, detail=NEARLY_EMPTY)


def _decoded(image: Source) -> DecodedImage:
    if isinstance(image, Image.Image):
        return from_pillow(image)
    return from_array(image) if isinstance(image, np.ndarray) else decode(image)  # type: ignore[arg-type]


def write_csv(predictions: Iterable[Prediction], path: Path) -> None:
    """Writes a table, whole or not at all."""
    files.write_csv(path, COLUMNS, (prediction.to_dict() for prediction in predictions))
