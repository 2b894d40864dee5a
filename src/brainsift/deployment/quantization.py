"""From a run to the same network in INT8, as a run of its own: evaluated, calibrated and exported as it predicts.

Weights have 7 bits, one scale per channel: the sums of products then fit the 16 bits in which older processors add
them, so that all processors get the same. Activations have 8 bits, in the range that training images give.

ONNX Runtime fuses the operators of such a network when it loads it. The file holds them fused, which halves the time of
loading; in return only ONNX Runtime reads it (version 1.19 or newer).

Source:
    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pandas as pd
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from brainsift.core.errors import RunError
from brainsift.core.files import read_json, replacing
from brainsift.deployment.export import write_onnx
from brainsift.images.preprocess import network_input
from brainsift.training.exported import ExportedNetwork
from brainsift.training.runs import finish_exported, is_made_of, load_run, made_of, pixels_of, read_split
from brainsift.training.sampling import sampling_weights

INT8 = "INT8"
_IMAGES, _BATCH = 256, 16
_QUANTIZED = ("Conv", "Clip", "Relu", "Add")
_KEPT = 3  # convolutions at the front that stay in float32: they lose most, and take no longer


def quantize_run(run: str | Path, output: str | Path, *, cache: str | Path | None = None) -> Path:
    """Makes a run in INT8 of a finished run; `evaluate_run` and `export_run` take it like any other.

    The ranges of the activations are those of training images, drawn with the weights that the sampling `balanced`
    uses.

    Args:
        run: folder of the run.
        output: folder of the new run; one that is finished is left as it is.
        cache: of preprocessed pixels; by default that of `runs.cache_of`.

    Returns:
        The folder of the new run.

    Raises:
        RunError: the run is not finished or is in INT8 itself, or the folder holds another run.
    """
    place, folder = Path(run), Path(output)
    if is_made_of(folder, "quantized", [place]):
        return folder
    if read_json(place / "environment.json").get("inference") == INT8:
        raise RunError(run, "is in INT8 already", "Name the run that was trained.")
    model, config = load_run(place)
    table = read_split(place)
    pixels, rows = pixels_of(table, place, config, cache)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary, replacing(folder / "network.onnx") as finished:
        whole = place / "network.onnx"
        if not isinstance(model, ExportedNetwork):
            whole = Path(temporary) / "network.onnx"
            write_onnx(model, config, whole, halved=False)
        quantize(whole, finished, typical(table, pixels, rows))
    finish_exported(folder, place, {"inference": INT8, "made of": made_of("quantized", [place])}, pixels, rows)
    return folder


def typical(
    table: pd.DataFrame,
    pixels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    *,
    n: int = _IMAGES,
    seed: int = 0,
) -> npt.NDArray[np.uint8]:
    """Returns the pixels of training images, drawn so that neither source, contrast nor plane stands out.

    Args:
        table: the split.
        pixels: of `cached_pixels`, uint8 (n, size, size[, 3]).
        rows: the place of each image of the split among them; below 0 for none.
        n: images at most.
        seed: of the random generator.
    """
    used = ((table["part"] == "train") & table["label"].notna()).to_numpy() & (rows >= 0)
    weights = sampling_weights(table[used].reset_index(drop=True)).numpy()
    drawn = np.random.default_rng(seed).choice(rows[used], min(n, used.sum()), replace=False, p=weights / weights.sum())
    return np.asarray(pixels[drawn])


def quantize(whole: Path, finished: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Writes a network in INT8.

    Args:
        whole: the network in float32, as `export.write_onnx` writes it.
        finished: the new file.
        pixels: of training images, which give the ranges of the activations; uint8 (n, size, size[, 3]).
    """
    nodes = onnx.load(whole).graph.node
    first = [place for place, node in enumerate(nodes) if node.op_type == "Conv"][_KEPT]
    with TemporaryDirectory() as temporary:
        single = Path(temporary) / "network.onnx"
        quantize_static(
            whole,
            single,
            _Images(pixels),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 7 bits
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[
                node.name for place, node in enumerate(nodes) if place < first or node.op_type not in _QUANTIZED
            ],
        )
        fuse(single, finished)


def fuse(single: Path, finished: Path) -> None:
    """Writes a network as ONNX Runtime fuses its operators on any processor; it returns the same numbers."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(finished)
    options.log_severity_level = 3  # it warns of processors, which concerns a higher level
    onnxruntime.InferenceSession(str(single), options, providers=["CPUExecutionProvider"])
    network = onnx.load(finished)
    used = {node.domain for node in network.graph.node}
    known = [one for one in network.opset_import if one.domain in used]
    del network.opset_import[:]
    network.opset_import.extend(known)
    onnx.save(network, finished)


class _Images(CalibrationDataReader):
    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self._batches = (network_input(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH))

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}
