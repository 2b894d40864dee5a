"""Training curves in TensorBoard or MLflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainsift.core.errors import MissingExtraError, UsageError
from brainsift.training.recipes import LOGS

Log = Callable[[dict[str, float]], None]


def open_log(kind: str, folder: Path, settings: dict[str, Any]) -> Log:
    """Returns a function that takes each row of the training curve.

    Args:
        kind: "none", "tensorboard" (files in ``folder/tensorboard``) or "mlflow" (server or folder as in
            ``MLFLOW_TRACKING_URI``).
        folder: of the run.
        settings: recorded beside the curves.

    Raises:
        UsageError: another kind.
        MissingExtraError: its package is not installed.
    """
    if kind == "none":
        return lambda row: None
    try:
        if kind == "tensorboard":
            return _tensorboard(folder)
        if kind == "mlflow":
            return _mlflow(folder.name, settings)
    except ImportError:
        raise MissingExtraError(kind, "is not installed", f"Run `pip install {kind}`.") from None
    raise UsageError("log", f"must be one of {LOGS}, not {kind!r}", "Choose one of them.")


def _tensorboard(folder: Path) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))

    def log(row: dict[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))
        writer.flush()

    return log


def _mlflow(name: str, settings: dict[str, Any]) -> Log:
    import mlflow

    mlflow.start_run(run_name=name)
    mlflow.log_params(settings)
    return lambda row: mlflow.log_metrics(row, step=int(row["epoch"]))
