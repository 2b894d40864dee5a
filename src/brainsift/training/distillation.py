"""Teachers: finished networks whose answers another network learns (Hinton et al. 2015)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional as F

from brainsift.inference.bundle import Bundle, load_bundle


class Teachers:
    """Bundles that answer together: the mean of their calibrated logits, and of their tumor maps.

    They run on ONNX Runtime, as they do where they are used, so that a teacher can be any network.

    Args:
        folders: of the bundles.
        threads: of the CPU.

    Raises:
        BundleError: a folder holds no bundle.
    """

    def __init__(self, folders: Sequence[str], *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        bundles = [load_bundle(Path(folder)) for folder in folders]
        self._voices = [(bundle, _session(bundle, options)) for bundle in bundles]

    def answer(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns what they say about images as the pupil sees them.

        Args:
            images: float32 (n, channels, size, size) in [0, 1].

        Returns:
            The probability of tumor, float32 (n,), and the tumor map, float32 (n, 1, h, w) in [0, 1]; None where one of
            them draws none.
        """
        pixels = images.detach().cpu().contiguous().numpy()
        logits: list[npt.NDArray[np.float32]] = []
        maps: list[npt.NDArray[np.float32]] = []
        for bundle, session in self._voices:
            names = [output.name for output in session.get_outputs()]
            found = dict(zip(names, session.run(names, {"images": pixels}), strict=True))
            logits.append(found["logits"] / bundle.temperature)
            maps += [found["tumor_map"]] if "tumor_map" in found else []
        said = torch.from_numpy(np.mean(logits, axis=0, dtype=np.float32)).to(images.device).sigmoid()
        if len(maps) < len(logits):
            return said, None
        drawn = torch.from_numpy(np.mean(maps, axis=0, dtype=np.float32)).to(images.device)
        return said, drawn.sigmoid().unsqueeze(1)


def blend(own: Tensor, taught: Tensor, logits: Tensor, share: float) -> Tensor:
    """Returns a loss against labels, of which a share gives way to the loss against what the teachers say.

    Args:
        own: the loss against labels.
        taught: what the teachers say, in [0, 1].
        logits: of the same shape.
        share: 0 to 1.
    """
    return (1 - share) * own + share * F.binary_cross_entropy_with_logits(logits, taught)


def _session(bundle: Bundle, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(bundle.network), options, providers=["CPUExecutionProvider"])
