"""A bundle and images to predictions, without PyTorch.

Each thread decodes a few files and runs the network on them, on one core: that keeps all cores busier than sharing
every matrix product among them. What is in memory does not grow with the number of files, and predictions come in the
order of the files. DICOM and NIfTI files are scored slice by slice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from brainsift.core.environment import cores
from brainsift.core.errors import BrainsiftError, InputError, UsageError
from brainsift.core.parallel import map_in_order
from brainsift.core.reasons import Reason, Rejection
from brainsift.images.decode import decode, from_array, from_pillow
from brainsift.images.plausibility import foreign_reason
from brainsift.images.preprocess import network_input, preprocess_decoded
from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.inference.decision import Prediction, Rule, expit, make_rule
from brainsift.inference.familiarity import UNFAMILIAR
from brainsift.inference.kinds import KindScores
from brainsift.inference.volume_decision import NearlyEmptyEnds, VolumePrediction, summarise_volume
from brainsift.volumes.grouping import Unit
from brainsift.volumes.reader import find_slice, read_volume, slices_of
from brainsift.volumes.slices import Coarse, Loaded, Slice, broken_slice, joined

if TYPE_CHECKING:
    from pydicom import Dataset

Source = Union[str, Path, bytes, npt.NDArray[np.generic], Image.Image, "Dataset"]
BATCH = 8  # images per batch: their activations stay in the processor's cache, and so does the code that reads them


@dataclass(frozen=True, eq=False)
class Read:
    """A slice that was decoded and preprocessed.

    Attributes:
        pixels: (size, size) or (size, size, 3) uint8, the network's input.
        rejection: why it cannot be scored, by its header or by rules on its pixels; None where nothing speaks against
            it.
        coarse: what the slices of a volume are compared by; None for a plain image.
        note: what reading it showed; "" where there is nothing to say.
    """

    pixels: npt.NDArray[np.uint8]
    rejection: Rejection | None
    coarse: Coarse | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Outputs:
    """What the network returns for a batch.

    Attributes:
        logits: float64 (n,), calibrated.
        maps: float32 (n, h, w), 0 to 1; None where the network draws none.
        unfamiliar: bool (n,), beyond a limit of `Familiarity`; None where the bundle has none.
        kinds: (n,) the kind of tumor, if there is one; None where the bundle says nothing of kinds.
    """

    logits: npt.NDArray[np.float64]
    maps: npt.NDArray[np.float32] | None = None
    unfamiliar: npt.NDArray[np.bool_] | None = None
    kinds: list[KindScores] | None = None


class Predictor:
    """A loaded network.

    Args:
        bundle: from `load_bundle`; the one that comes with the package by default.
        threshold: one of the bundle's, by name, or the wanted sensitivity; by default `balanced`, and `even`
            with ``max_error``. Volumes have thresholds of their own, see `make_rule`.
        max_error: the largest share of the decisions that may be wrong; what is not sure enough for it is referred.
            None refers nothing. The promise holds for the threshold `even` only.
        any_body_part: score also what its header calls another part of the body; the words become a note.
        threads: that decode and score; 0 for one per core.

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
        any_body_part: bool = False,
        threads: int = 0,
    ) -> None:
        if threads < 0:
            raise UsageError("threads", f"must be 0 or more, not {threads}", "0 takes one per core.")
        self.bundle = bundle or load_bundle()
        self.rule = make_rule(self.bundle, threshold=threshold, max_error=max_error)
        self.any_body_part = any_body_part
        self.threads = threads or cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(self.bundle.network), options, providers=["CPUExecutionProvider"]
        )
        self._familiarity = self.bundle.familiarity()
        self._kinds = self.bundle.kinds()

    @property
    def threshold(self) -> float:
        """The threshold of the rule, on the calibrated probability."""
        return self.rule.threshold

    @property
    def margin(self) -> float:
        """The abstention margin of the rule, on the calibrated logit."""
        return self.rule.margin

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Returns the calibrated probability of tumor, (n,), of preprocessed pixels (n, size, size[, 3])."""
        return np.array([expit(logit) for logit in self._run(pixels).logits])

    def score(self, image: Source, *, name: str = "image") -> Prediction:
        """Returns the prediction for one image.

        Args:
            image: a path, the name of a slice, the content of an image or DICOM file, a Pillow image, a
                `pydicom.Dataset` of one frame, or an array, also of PyTorch: (height, width) of any range, or
                (height, width, 3) uint8.
            name: what the prediction calls an image that is no path.

        Raises:
            UsageError: a file of several slices, or none of these.

        >>> from brainsift.images.phantom import draw
        >>> found = Predictor(threads=1).score(draw(0, tumor=True).pixels)
        >>> found.status, found.probability > 0.5, found.tumor_map.shape
        ('ok', True, (16, 16))
        """
        try:
            piece = find_slice(image) if isinstance(image, str | Path) else _slice(image, name)
        except InputError as error:
            return next(self.predict_batch([(_slice(b"", str(image)), error)]))[0]
        return next(self.predict_batch([(piece, self.read(piece))]))[0]

    def predict(self, paths: Iterable[str | Path | Unit]) -> Iterator[Prediction]:
        """Yields one prediction per file, in order; a file that cannot be read is reported, never fatal.

        DICOM and NIfTI files give one prediction per slice, in the order of the slices. The predictions for a volume
        come when all of its slices are read, because the largest of them tells which hold too little of the head.

        Raises:
            UsageError: one name instead of several files: each of its letters would count as a file.

        >>> [one.status for one in Predictor(threads=1).predict(["nowhere.png"])]
        ['unreadable']
        """
        if isinstance(paths, str | Path):
            rule = f"must be a list of files, not the one name {str(paths)!r}"
            raise UsageError(
                "paths", rule, "Use `predict_files` for a folder, `score` for one image, or put it in [ ]."
            )
        return self.predict_slices(slices_of(paths))

    def predict_slices(self, slices: Iterable[Slice]) -> Iterator[Prediction]:
        """Yields one prediction per slice, in order, as `predict` does; those of one volume follow each other."""

        def scored(batch: list[Slice]) -> list[tuple[Prediction, Coarse | None]]:
            return list(self.predict_batch([(piece, self.read(piece)) for piece in batch]))

        remaining, ends = iter(slices), NearlyEmptyEnds()
        batches = iter(lambda: list(islice(remaining, BATCH)), [])
        for found in map_in_order(scored, batches, threads=self.threads):
            for prediction, coarse in found:
                yield from ends.add(prediction, coarse)
        yield from ends.finish()

    def read(self, piece: Slice) -> Read | InputError:
        """Decodes and preprocesses a slice; returns the error of one that cannot be read."""
        try:
            loaded = piece.load()
            pixels = preprocess_decoded(loaded.image, preprocessing=self.bundle.preprocessing, size=self.bundle.size)
        except InputError as error:
            return error
        rejection, note = piece.rejection, loaded.note
        if self.any_body_part and rejection is not None and rejection.code == Reason.OTHER_BODY_PART:
            note = joined(rejection.words, note)
            rejection = None
        if rejection is None and self._familiarity:
            rejection = foreign_reason(loaded.image, pixels)
        return Read(pixels, rejection, loaded.coarse, note)

    def predict_batch(
        self, batch: Sequence[tuple[Slice, Read | InputError]], rules: Sequence[Rule] | None = None
    ) -> Iterator[tuple[Prediction, Coarse | None]]:
        """Yields the predictions for slices that were read, each with what the slices of a volume are compared by.

        `NearlyEmptyEnds` makes them final: it refers slices of a volume with hardly any of the head.

        Args:
            batch: slices and what `read` returned for them.
            rules: one per slice; the predictor's own by default.
        """
        readable = [read.pixels for _, read in batch if not isinstance(read, InputError)]
        outputs = self._run(np.stack(readable)) if readable else _Outputs(np.zeros(0))
        place = 0
        for (piece, read), rule in zip(batch, rules or [self.rule] * len(batch), strict=True):
            if isinstance(read, InputError):
                words = f"{read.rule}. {read.remedy}"
                yield Prediction(piece.name, "unreadable", None, "", read.reason, words, volume=piece.volume), None
                continue
            logit, rejection = float(outputs.logits[place]), read.rejection
            if rejection is None and outputs.unfamiliar is not None and outputs.unfamiliar[place]:
                rejection = UNFAMILIAR
            why, note = rejection or Rejection(Reason.NONE, ""), joined(piece.note, read.note)
            one = Prediction(
                path=piece.name,
                status="not_brain_mri" if rejection else "ok",
                logit=logit,
                decision="refer",
                reason=why.code,
                detail="; ".join(part for part in (why.words, note) if part),
                tumor_map=None if outputs.maps is None else outputs.maps[place],
                volume=piece.volume,
                note=note,
                kinds=None if outputs.kinds is None else outputs.kinds[place],
            )
            yield one.decided(rule), read.coarse
            place += 1

    def _run(self, pixels: npt.NDArray[np.uint8]) -> _Outputs:
        found = self._session.run(None, {"images": network_input(pixels)})
        logits = found[0].astype(np.float64) / self.bundle.temperature
        # Only the preprocessing `standard` can be laid back over the image.
        if len(found) == 1 or self.bundle.preprocessing != "standard":
            return _Outputs(logits)
        maps = 1 / (1 + np.exp(-np.clip(found[1], -30, 30)))
        known, kinds = self._familiarity, self._kinds
        unfamiliar = None if known is None else known.unfamiliar(found[2])
        return _Outputs(logits, maps, unfamiliar, None if kinds is None else kinds.scores(found[2]))


def predict_volume(path: str | Path, *, volume: str = "", predictor: Predictor | None = None) -> VolumePrediction:
    """Returns the prediction for one volume, with the predictions for its slices in `VolumePrediction.slices`.

    Args:
        path: a NIfTI file, a DICOM file of several frames, or a folder with a DICOM series.
        volume: the name of the one that is meant, where a folder holds several.
        predictor: with the bundle and the rule; the one that comes with the package, at its defaults, if None.

    Raises:
        InputError: there is no volume.
        UsageError: there are several volumes, or none with that name.

    >>> found = predict_volume("scan.nii.gz")  # doctest: +SKIP
    >>> found.decision, found.n_scored, found.suspicious[0]  # doctest: +SKIP
    ('tumor', 96, 'scan.nii.gz#71')
    """
    predictor = predictor or Predictor()
    slices = tuple(predictor.predict_slices(read_volume(path, volume=volume).slices))
    return replace(summarise_volume(slices, predictor.rule), slices=slices)


def _slice(image: Source, name: str) -> Slice:
    """Returns what `Predictor.score` was given, if it is no path, as a slice."""
    kind = type(image).__name__
    if isinstance(image, bytearray | memoryview):
        image = bytes(image)
    if isinstance(image, bytes) and image[128:132] == b"DICM":
        from brainsift.volumes.dicom import read_bytes  # a plain image does without it

        try:
            image = read_bytes(image, name=name)
        except BrainsiftError as error:
            return broken_slice(name, "", error)
    if hasattr(type(image), "pixel_array"):  # a pydicom.Dataset
        from brainsift.volumes.dicom import dataset_slice

        return dataset_slice(image, name)  # type: ignore[arg-type]
    if isinstance(image, Image.Image):
        return Slice(name, "", lambda: Loaded(from_pillow(image)))
    if hasattr(image, "__array__"):
        pixels = image if isinstance(image, np.ndarray) else np.asarray(image)
        return Slice(name, "", lambda: Loaded(from_array(pixels)))
    if not isinstance(image, bytes):
        rule = f"must be a path, the content of a file, a picture of Pillow, a pydicom.Dataset or an array, not {kind}"
        raise UsageError("image", rule, "Pass one slice as an array (height, width); `predict_volume` takes files.")
    return Slice(name, "", lambda: Loaded(decode(image)))
