"""The least that parts of scoring can take on one core of this machine, measured."""

import os
import tempfile
import time
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import onnx
from side_by_side import Worker

from brainsift.images.decode import decode

_REPEATS = 5
_SIDE = 3072  # of the matrices whose product tells the peak


def reading_seconds(paths: list[str]) -> float:
    """Returns seconds a file for reading the bytes and nothing else; the files are in the page cache."""

    def read() -> None:
        for path in paths:
            file = os.open(path, os.O_RDONLY)
            os.read(file, os.fstat(file).st_size)
            os.close(file)

    return _least(read) / len(paths)


def decoding_seconds(paths: list[str], python: str) -> float:
    """Returns seconds a file for reading and decoding by the fastest library, on the one core that this process has.

    Args:
        paths: of the files.
        python: of the environment with the library.
    """
    worker = Worker("decoding.py", python)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "list.txt"
        listed.write_text("\n".join(paths), encoding="utf-8")
        seconds = [float(worker.ask(listed, listed.with_suffix(".csv"))["cpu_seconds"]) for _ in range(_REPEATS + 1)]
    worker.close()
    return min(seconds[1:]) / len(paths)


def copy_seconds(paths: list[str]) -> float:
    """Returns seconds an image for copying one byte a pixel."""
    images = [np.empty(decode(path).pixels.shape[:2], np.uint8) for path in paths[:200]]

    def copy() -> None:
        for image in images:
            image.copy()

    return _least(copy) / len(images)


def matmul_rate() -> float:
    """Returns multiply-adds a second of a large float32 matrix product."""
    chance = np.random.default_rng(0)
    left, right = (chance.random((_SIDE, _SIDE), np.float32) for _ in range(2))
    return _SIDE**3 / _least(lambda: left @ right)


def multiply_adds(network: onnx.ModelProto) -> int:
    """Returns the multiply-adds of the convolutions and matrix products of a network for one image."""
    for value in (*network.graph.input, *network.graph.value_info, *network.graph.output):
        for side in value.type.tensor_type.shape.dim:
            side.dim_value = side.dim_value or 1  # the number of images
    for node in network.graph.node:
        if node.op_type == "QLinearAdd":  # ONNX itself does not know the shapes of fused operators
            node.op_type, node.domain, node.input[:] = "Identity", "", node.input[:1]
        elif node.op_type == "FusedConv":
            node.op_type, node.domain = "Conv", ""
    graph = onnx.shape_inference.infer_shapes(network).graph
    shapes = {value.name: _shape(value) for value in [*graph.value_info, *graph.output]}
    weights = shapes | {tensor.name: list(tensor.dims) for tensor in graph.initializer}  # some are cast from float16
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "QLinearConv"):
            # Each output sums over a kernel of (channels of its group, height, width).
            kernel = weights[node.input[3 if node.op_type == "QLinearConv" else 1]]
            total += prod(shapes[node.output[0]]) * prod(kernel[1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += prod(weights[node.input[1]])
    return total


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [one.dim_value for one in value.type.tensor_type.shape.dim]


def _least(work: Callable[[], object]) -> float:
    """Returns the seconds of the processor that some work takes when it goes best."""
    work()
    seconds = []
    for _ in range(_REPEATS):
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return min(seconds)
