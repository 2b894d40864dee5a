"""All steps on drawn phantom slices, from the audit to predictions of the exported network."""

from dataclasses import dataclass
from pathlib import Path

from brainsift.core.files import write_csv
from brainsift.core.progress import Progress, Report, silent
from brainsift.deployment.export import export_run
from brainsift.images.phantom import write_phantoms
from brainsift.inference.bundle import load_bundle
from brainsift.inference.decision import COLUMNS, Prediction
from brainsift.inference.predictor import Predictor
from brainsift.reports.write import write_study_report
from brainsift.studies.study import run_study
from brainsift.studies.study_results import StudyResults
from brainsift.studies.study_settings import StudyConfig

_TRAINED, _UNSEEN = 400, 12  # phantoms
_UNSEEN_SEED = 10_007  # far from the seeds of the others


@dataclass(frozen=True)
class Demo:
    """What the demonstration made.

    Attributes:
        study: the results of the study.
        predictions: of newly drawn phantoms, by the exported network.
        n_right: how many of them are decided as they were drawn.
        report: the page.
    """

    study: StudyResults
    predictions: tuple[Prediction, ...]
    n_right: int
    report: Path


def run_demo(folder: Path, *, seed: int = 0, report: Report = silent) -> Demo:
    """Draws phantoms, audits and splits them, trains and evaluates a network, exports it and predicts with it.

    Phantoms are not patients: the figures show that the steps work, not that the network finds tumors.

    Args:
        folder: gets the phantoms, the study, its report, the bundle and predictions.csv.
        seed: of the drawn phantoms.
        report: takes the progress.
    """
    report(Progress("drawing phantoms", 0, 1))
    phantoms = write_phantoms(folder / "phantoms", count=_TRAINED, seed=seed).parent
    config = StudyConfig(models=("compact",), baseline_protocols=(), tune_models=(), quick=True, seed=seed)
    study = run_study(
        [f"phantom={phantoms}"],
        folder,
        config,
        title="Demo on drawn phantoms",
        command="brainsift demo",
        phantom=True,
        report=report,
    )
    write_study_report(study, folder, folder / "report.html")
    export_run(folder / "runs" / "grouped-compact-standard-fold0", folder / "bundle")
    unseen = write_phantoms(folder / "unseen", count=_UNSEEN, seed=seed + _UNSEEN_SEED).parent
    predictor = Predictor(load_bundle(folder / "bundle"))
    predictions = tuple(predictor.predict(sorted(unseen.glob("*tumor/*.*"))))
    write_csv(folder / "predictions.csv", COLUMNS, (prediction.to_dict() for prediction in predictions))
    n_right = sum(prediction.decision == Path(prediction.path).parent.name for prediction in predictions)
    return Demo(study, predictions, n_right, folder / "report.html")
