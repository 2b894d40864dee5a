"""What an exported network returns for cached images: the features that models beside it are fitted to."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from brainsift.images.preprocess import network_input

_BATCH = 64


def features_of(network: Path, pixels: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Returns the features of some images, (n, n_features).

    Args:
        network: an ONNX file with the output `features`.
        pixels: of `cached_pixels`.
        places: (n,) of the images therein.
    """
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    batches = np.array_split(places, max(len(places) // _BATCH, 1))
    inputs = ({"images": network_input(pixels[batch])} for batch in batches)
    return np.concatenate([session.run(["features"], one)[0] for one in inputs])
