"""Where and how to compute: device, threads, precision, and the processes that `torchrun` starts."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import distributed, nn

from brainsift.core.errors import UsageError

# Networks made of depthwise convolutions lose time in bf16 on a CPU (bench/README.md).
_DEPTHWISE = frozenset({"mobilenet", "compact", "lite0", "lite0-slim"})
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def choose_device(name: str = "auto") -> torch.device:
    """Returns the named device, or the best one here: CUDA, then Apple, then CPU.

    Raises:
        UsageError: a device that this machine lacks.
    """
    if name != "auto":
        device = torch.device(name)
        n_here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device.type, 1)
        if (device.index or 0) >= n_here:
            raise UsageError("device", f"torch finds {n_here} of {name} here", "Choose cpu, or auto.")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def uses_bf16(model: str, precision: str, device: torch.device) -> bool:
    """Tells whether to train in bf16: on request, or where the processor supports it and the network gets faster."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cpu":
        return model not in _DEPTHWISE and bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def freezes_bf16(precision: str, device: torch.device) -> bool:
    """Tells whether frozen blocks compute in bf16: without gradients, even depthwise convolutions get faster."""
    return precision == "auto" and device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[object]:
    """Returns the context in which a forward pass runs."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext()


def prepare(*, threads: int, seed: int) -> None:
    """Makes this process repeatable and its memory allocator fast.

    glibc returns large blocks of memory to the system after each use. Keeping them is worth a third of the training
    speed on a CPU.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling each new block with NaN, as torch then does, takes a fifth of the time of training.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def is_first_process() -> bool:
    """Tells whether this is the one process that writes, of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """Joins the processes that ``torchrun`` started; yields (rank, number of processes), (0, 1) without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield 0, 1
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield distributed.get_rank(), world
    finally:
        distributed.destroy_process_group()


def average_gradients(model: nn.Module, world: int) -> None:
    """Averages gradients over the processes."""
    if world == 1:
        return
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= world
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def share_buffers(model: nn.Module, world: int) -> None:
    """Gives every process the batch statistics of the first, so that all evaluate the same network."""
    if world > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
