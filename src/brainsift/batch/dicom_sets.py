"""The DICOM objects of a batch: one folder per volume, written as soon as its last slice is scored."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from brainsift.dicom_results.result_set import ResultOptions, folder_of, write_results
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Prediction, Rule
from brainsift.inference.volume_decision import summarise_volume


class DicomSets:
    """Makes the DICOM objects of each volume as its predictions come; keeps only those of one volume.

    Args:
        folder: gets one folder per volume, ``volume-00000`` and so on, in the order of the volumes.
        bundle: that is used.
        rule: that is used.
        options: which objects are made; None for the default ones.

    Attributes:
        left_out: the volume, and why an object could not be made, one sentence each.

    Raises:
        MissingExtraError: a package that is needed is not installed.
    """

    def __init__(self, folder: Path, bundle: Bundle, rule: Rule, options: ResultOptions | None) -> None:
        from brainsift.dicom_results.build import build_results, check_extras  # its page costs start-up time

        options = options or ResultOptions()
        check_extras(options)
        self.left_out: list[str] = []
        self._folder, self._bundle, self._rule, self._options = folder, bundle, rule, options
        self._build = build_results
        self._slices: list[Prediction] = []
        self._count = 0

    def add(self, prediction: Prediction) -> None:
        """Takes the next prediction; another volume, or a plain image, ends the volume before.

        Raises:
            InputError: a file is gone, or an object cannot be written.
        """
        if self._slices and prediction.volume != self._slices[0].volume:
            self.finish()
        if prediction.volume:
            self._slices.append(prediction)

    def finish(self) -> None:
        """Writes the objects of the last volume; raises as `add` does."""
        slices, self._slices = tuple(self._slices), []
        if slices:
            volume = replace(summarise_volume(slices, self._rule), slices=slices)
            made = self._build(volume, self._bundle, self._rule, when=datetime.now(), options=self._options)
            write_results(made, self._folder / folder_of(self._count))
            self.left_out += [f"{volume.volume}: {reason}" for reason in made.left_out]
            self._count += 1
