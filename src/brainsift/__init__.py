"""brainsift tells whether a brain MRI slice shows a tumor, and measures how far to believe it.

>>> import brainsift as bs
>>> prediction = bs.Predictor().score("slice.png")  # doctest: +SKIP
>>> prediction.decision, prediction.probability  # doctest: +SKIP
('tumor', 0.9784627901771465)

The names in `__all__` are the public face; everything else may change without notice. Each of them is loaded when it is
first used: `import brainsift` alone loads no other package.
"""

import os
from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it; `typing` costs more to import than all of this file
if TYPE_CHECKING:
    from brainsift.auditing.audit import audit
    from brainsift.batch.predict_files import BatchResult, predict_files
    from brainsift.client import Client
    from brainsift.core.errors import (
        BrainsiftError,
        BundleError,
        DownloadError,
        HistoryError,
        ImageSizeError,
        InputError,
        ManifestError,
        MissingExtraError,
        RunError,
        ServeError,
        SourceError,
        UnreadableImageError,
        UsageError,
    )
    from brainsift.core.reasons import Reason
    from brainsift.datasets.split import split
    from brainsift.deployment.export import export_run as export
    from brainsift.deployment.site_calibration import calibrate
    from brainsift.evaluation.evaluate import evaluate
    from brainsift.inference.bundle import Bundle, load_bundle
    from brainsift.inference.decision import Prediction
    from brainsift.inference.predictor import Predictor, predict_volume
    from brainsift.inference.volume_decision import VolumePrediction
    from brainsift.notebook_frame import show
    from brainsift.training.train import train
    from brainsift.volumes.reader import Volume, read_volume

__version__ = "0.1.0"

# ONNX Runtime reports to its maker from 1.29 on, unless this is set before it is imported; nothing leaves this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# name -> module, and the name there if it is another one; a test compares this table with the imports above
_LAZY = {
    "BatchResult": "batch.predict_files",
    "BrainsiftError": "core.errors",
    "Bundle": "inference.bundle",
    "BundleError": "core.errors",
    "Client": "client",
    "DownloadError": "core.errors",
    "HistoryError": "core.errors",
    "ImageSizeError": "core.errors",
    "InputError": "core.errors",
    "ManifestError": "core.errors",
    "MissingExtraError": "core.errors",
    "Prediction": "inference.decision",
    "Predictor": "inference.predictor",
    "Reason": "core.reasons",
    "RunError": "core.errors",
    "ServeError": "core.errors",
    "SourceError": "core.errors",
    "UnreadableImageError": "core.errors",
    "UsageError": "core.errors",
    "Volume": "volumes.reader",
    "VolumePrediction": "inference.volume_decision",
    "audit": "auditing.audit",
    "calibrate": "deployment.site_calibration",
    "evaluate": "evaluation.evaluate",
    "export": "deployment.export:export_run",
    "load_bundle": "inference.bundle",
    "predict_files": "batch.predict_files",
    "predict_volume": "inference.predictor",
    "read_volume": "volumes.reader",
    "show": "notebook_frame",
    "split": "datasets.split",
    "train": "training.train",
}

__all__ = [
    "BatchResult",
    "BrainsiftError",
    "Bundle",
    "BundleError",
    "Client",
    "DownloadError",
    "HistoryError",
    "ImageSizeError",
    "InputError",
    "ManifestError",
    "MissingExtraError",
    "Prediction",
    "Predictor",
    "Reason",
    "RunError",
    "ServeError",
    "SourceError",
    "UnreadableImageError",
    "UsageError",
    "Volume",
    "VolumePrediction",
    "__version__",
    "audit",
    "calibrate",
    "evaluate",
    "export",
    "load_bundle",
    "predict_files",
    "predict_volume",
    "read_volume",
    "show",
    "split",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'brainsift' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = globals()[name] = getattr(import_module(f"brainsift.{module}"), attribute or name)
    return value


def __dir__() -> list[str]:
    return __all__
