"""Each series that was scored becomes a case of a history, which `brainsift serve --keep FOLDER` shows on its page."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from brainsift import __version__
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Prediction, Rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.node.journal import SeriesRow
from brainsift.serve.history.recording import record
from brainsift.serve.history.store import History
from brainsift.volumes.acquisition import Acquisition
from brainsift.volumes.reader import find_slice
from brainsift.volumes.slices import Loaded

_SHOWN = 8  # letters of the name of a series


class PageRecord:
    """Records volumes in a history.

    Args:
        folder: of the history.
        keep_images: whether their pictures are kept as well.
        bundle: that scores.

    Raises:
        HistoryError: the folder cannot be written, or its file is of another program or version.
    """

    def __init__(self, folder: Path, *, keep_images: bool, bundle: Bundle) -> None:
        self._history, self._bundle = History(folder, keep_images=keep_images), bundle

    def __call__(self, series: SeriesRow, volume: VolumePrediction, predictor: Predictor) -> None:
        """Records a volume; what cannot be recorded is logged."""
        # Of the name, what stands behind the folder: number and description of the series.
        title = volume.volume.rpartition("#")[2] if "#" in volume.volume else ""
        name = " ".join(filter(None, (f"series {series.name[:_SHOWN]}", title)))
        paths = [one.path for one in volume.slices]
        slices = [
            replace(one, path=f"{name}, slice {place}", volume=name) for place, one in enumerate(volume.slices, 1)
        ]
        scored = _Scored(paths, slices, replace(volume, volume=name), predictor.rule)
        record(self._history, scored, model=f"{self._bundle.name} {__version__}", size=self._bundle.size)


@dataclass
class _Scored:
    """A volume as `record` takes it, with names for readers."""

    paths: list[str]
    predictions: list[Prediction]
    volume: VolumePrediction
    rule: Rule
    cases: list[int] = field(default_factory=list)

    def results(self) -> tuple[list[Prediction], list[VolumePrediction]]:
        return self.predictions, [self.volume]

    def load(self, place: int) -> Loaded:
        return find_slice(self.paths[place]).load()

    def acquisition(self, place: int) -> Acquisition:
        return find_slice(self.paths[place]).acquisition
