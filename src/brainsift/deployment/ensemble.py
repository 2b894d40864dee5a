"""From several networks to one that averages them, as a run of its own."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnx

from brainsift.core.errors import RunError
from brainsift.core.files import replacing
from brainsift.deployment.export import with_whole_weights, write_onnx
from brainsift.inference.bundle import load_bundle
from brainsift.training.exported import ExportedNetwork
from brainsift.training.runs import finish_exported, is_made_of, load_run, made_of, pixels_of, read_split

_AVERAGED = ("logits", "tumor_map")
_IMAGE = ["sha256", "channel", "part"]
_ALIKE = 2e-3  # of the largest weight: what writing and reading a network again changes


def join_runs(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    bundles: Sequence[str | Path] = (),
    cache: str | Path | None = None,
) -> Path:
    """Makes a run whose network averages the logits and the tumor maps of finished runs and of bundles.

    What two networks have in common at the front, such as frozen blocks, is computed once. Other outputs, such as the
    features, are those of the first network, bundles first; settings and split are those of the first run.

    Args:
        runs: their folders, one or more, trained on the same split and input.
        bundles: folders of bundles whose networks take the same input. Only you can know whether they were trained on
            images that are for validation or testing here.
        output: folder of the new run; one that is finished is left as it is.
        cache: of preprocessed pixels; by default that of `runs.cache_of` for the first run.

    Returns:
        The folder of the new run.

    Raises:
        RunError: a run is not finished, or was trained on other images or another input than the first; or the folder
            holds another run.
    """
    places, folder = [Path(run) for run in runs], Path(output)
    sources = [*places, *map(Path, bundles)]
    if is_made_of(folder, "averaged", sources):
        return folder
    table, networks = read_split(places[0]), []
    _, first = load_run(places[0])
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        for place in places:
            model, config = load_run(place)
            if not read_split(place)[_IMAGE].equals(table[_IMAGE]):
                raise RunError(place, f"was trained on other images than {places[0]}", "Name runs on one split.")
            if (config.size, config.preprocessing) != (first.size, first.preprocessing):
                raise RunError(place, f"takes another input than {places[0]}", "Name runs of one size.")
            if isinstance(model, ExportedNetwork):
                networks.append(onnx.load(place / "network.onnx"))
                continue
            write_onnx(model, config, Path(temporary) / "one.onnx", halved=False)
            networks.append(onnx.load(Path(temporary) / "one.onnx"))
    exported = [load_bundle(Path(one)) for one in bundles]
    for one in exported:
        if (one.size, one.preprocessing) != (first.size, first.preprocessing):
            raise RunError(one.folder, f"takes another input than {places[0]}", "Name bundles of one size.")
    networks = [with_whole_weights(onnx.load(one.network)) for one in exported] + networks
    with replacing(folder / "network.onnx") as finished:
        onnx.save(averaged(networks), finished)
    joined = [f"{one.name} {one.facts.environment.get('commit', '')}".strip() for one in exported]
    joined += [place.resolve().name for place in places]
    pixels, rows = pixels_of(table, places[0], first, cache)
    finish_exported(folder, places[0], {"mean of": joined, "made of": made_of("averaged", sources)}, pixels, rows)
    return folder


def averaged(networks: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Returns one network that averages several; nodes that are alike from the input on stand in it once."""
    whole = onnx.ModelProto()
    whole.CopyFrom(networks[0])
    graph = whole.graph
    ends = {name: [_renamed(graph, name)] for name in _AVERAGED if any(one.name == name for one in graph.output)}
    for number, network in enumerate(networks[1:], start=2):
        known = {one.domain for one in whole.opset_import}
        whole.opset_import.extend(one for one in network.opset_import if one.domain not in known)
        names = _added(graph, network.graph, f".{number}")
        for name, found in ends.items():
            found.append(names[name])
    graph.node.extend(onnx.helper.make_node("Mean", found, [name], name=f"mean_{name}") for name, found in ends.items())
    onnx.checker.check_model(whole)
    return whole


def _renamed(graph: onnx.GraphProto, name: str) -> str:
    """Renames what a graph computes as ``name``, and returns the new name."""
    new = f"{name}.1"
    for node in graph.node:
        node.input[:] = [new if one == name else one for one in node.input]
        node.output[:] = [new if one == name else one for one in node.output]
    return new


def _added(graph: onnx.GraphProto, other: onnx.GraphProto, suffix: str) -> dict[str, str]:
    """Adds the nodes and weights of another graph that the first does not hold; returns the new name of each value."""
    held: dict[tuple[int, ...], list[tuple[str, npt.NDArray[np.generic]]]] = {}
    for tensor in graph.initializer:
        held.setdefault(tuple(tensor.dims), []).append((tensor.name, onnx.numpy_helper.to_array(tensor)))
    names = {one.name: one.name for one in other.input}
    for tensor in other.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        alike = (name for name, of_first in held.get(tuple(tensor.dims), []) if _alike(values, of_first))
        found = next(alike, None)
        if found is None:
            graph.initializer.append(onnx.numpy_helper.from_array(values, tensor.name + suffix))
        names[tensor.name] = found or tensor.name + suffix
    known = {_computed(node, list(node.input)): node for node in graph.node}
    for node in other.node:
        inputs = [names.get(one, one) for one in node.input]
        same = known.get(_computed(node, inputs))
        if same is None:
            new = onnx.NodeProto()
            new.CopyFrom(node)
            new.name, new.input[:], new.output[:] = node.name + suffix, inputs, [one + suffix for one in node.output]
            graph.node.append(new)
        names.update(zip(node.output, (same or new).output, strict=True))
    return names


def _computed(node: onnx.NodeProto, inputs: list[str]) -> tuple[object, ...]:
    attributes = sorted(one.SerializeToString() for one in node.attribute)
    return (node.op_type, *attributes, *inputs)


def _alike(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> bool:
    if one.dtype != other.dtype:
        return False
    if not np.issubdtype(one.dtype, np.floating):
        return np.array_equal(one, other)
    return np.allclose(one, other, rtol=0, atol=_ALIKE * float(np.abs(other).max(initial=0)))
