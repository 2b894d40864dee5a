"""A network in ONNX in place of one in PyTorch: what a run in INT8 holds, and what a teacher is."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from brainsift.core.environment import cores


class ExportedNetwork(nn.Module):
    """Answers as a `networks.Classifier` does, on the CPU.

    Args:
        path: of the ONNX file, as `deployment.export` writes it.
        threads: of the CPU; 0 for one per core.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns logits (n, 1), and the logits of the tumor map (n, 1, h, w) if it draws one.

        Args:
            images: float32 (n, channels, size, size) in [0, 1].
        """
        pixels = np.ascontiguousarray(images.detach().cpu().numpy())
        found = dict(zip(self._names, self._session.run(self._names, {"images": pixels}), strict=True))
        logits = torch.from_numpy(found["logits"]).unsqueeze(1).to(images.device)
        if "tumor_map" not in found:
            return logits, None
        return logits, torch.from_numpy(found["tumor_map"]).unsqueeze(1).to(images.device)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the log-odds of tumor, (n,)."""
        return self.outputs(images)[0][:, 0]
