"""Predictions for many files with Ray Data: files, chunks, workers with the network, predictions in order.

One task on the machine of the driver reads the list of files, chunk by chunk, as fast as the workers take them. A
worker is a process with one thread and the network in memory. If a worker dies, another one scores its chunk again.
Neither the files nor the predictions are ever held all at once.

Workers run in another folder than the driver. So relative paths are anchored: they start with a spelling of the
driver's folder that no user writes, and each prediction loses that start again.

Ray is imported only when it is used.
"""

import json
import logging
import os
import pickle
import platform
import socket
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainsift import __version__
from brainsift.batch.chunks import chunks_of
from brainsift.core.environment import cores
from brainsift.core.errors import BrainsiftError, BundleError, InputError, MissingExtraError, UsageError, in_one_line
from brainsift.core.files import sha256_of
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.decision import Prediction
from brainsift.inference.predictor import Predictor
from brainsift.volumes.grouping import Unit

if TYPE_CHECKING:
    import pyarrow

_CONNECT_SECONDS = 10
_STORE_BYTES = 256 * 1024**2  # paths and predictions only; images never pass through it
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no line of a worker, nor that one died, goes to standard output
}
_ONE_TRY = {"RAY_gcs_server_port_wait_time_s": "1"}  # of some 40 seconds, where Ray would make 20


@dataclass(frozen=True)
class Scoring:
    """How images are scored, in a form that every machine of the cluster can use.

    Attributes:
        bundle: folder of the bundle; None for the one that comes with the package.
        digest: SHA-256 of its bundle.json, which holds the checksums of the other files.
        threshold: as `Predictor` takes it.
        max_error: as `Predictor` takes it.
        anchor: the folder that relative paths start from, as ``folder/../folder``.
        version: of brainsift.
        any_body_part: as `Predictor` takes it.
    """

    bundle: Path | None
    digest: str
    threshold: str | float | None
    max_error: float | None
    anchor: str
    version: str = __version__
    any_body_part: bool = False

    @classmethod
    def here(
        cls,
        bundle: Path = SHIPPED,
        *,
        threshold: str | float | None,
        max_error: float | None,
        any_body_part: bool = False,
    ) -> "Scoring":
        """Describes scoring with a bundle of this machine, from this folder."""
        own = None if bundle == SHIPPED else bundle.absolute()
        here = Path.cwd()
        anchor = str(here / os.pardir / here.name)
        return cls(own, _digest(bundle), threshold, max_error, anchor, any_body_part=any_body_part)

    def predictor(self) -> Predictor:
        """Loads the network on a worker's machine.

        Raises:
            BundleError: this machine has another bundle, or another version of brainsift.
            InputError: this machine lacks the folder.
        """
        machine, folder = platform.node(), self.bundle or SHIPPED
        if self.version != __version__ or _digest(folder) != self.digest:
            rule = f"on {machine}, brainsift {__version__}, is not the wanted bundle of brainsift {self.version}"
            raise BundleError(folder, rule, "Install the same version, and the same bundle, on every machine.")
        if not Path(self.anchor).is_dir():
            remedy = "Start from a folder that every machine has, for example on shared storage."
            raise InputError(os.path.normpath(self.anchor), f"does not exist on {machine}", remedy)
        return Predictor(
            load_bundle(folder),
            threshold=self.threshold,
            max_error=self.max_error,
            any_body_part=self.any_body_part,
            threads=1,
        )

    def anchored(self, path: str) -> str:
        """Returns a path that leads to the same file from any folder; an absolute one stays as it is."""
        return os.path.join(self.anchor, path)  # noqa: PTH118 - a Path would drop a leading "./"

    def as_given(self, prediction: Prediction) -> Prediction:
        """Returns the prediction for an anchored path with the path as the user gave it, and without tumor map."""
        fields = ("path", "volume", "detail", "note")
        texts = {name: getattr(prediction, name).replace(f"{self.anchor}{os.sep}", "") for name in fields}
        return replace(prediction, tumor_map=None, **texts)


def predict_bulk(
    paths: Iterable[str], scoring: Scoring, *, workers: int = 0, address: str = ""
) -> Generator[Prediction, None, None]:
    """Yields the same predictions as `Predictor.predict`, in the same order, without tumor maps.

    Args:
        paths: of the files; they are written to a temporary file, which another process of this machine reads.
        scoring: how they are scored.
        workers: processes with one core each; 0 for one per core.
        address: of a running Ray cluster, ``auto`` for the one of this machine; "" starts one here and ends it.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no cluster answers at the address: within 10 seconds where nothing listens, and within a minute
            where something else does.
        BrainsiftError: a worker's machine differs from this one, or Ray gave up.
    """
    ray = _ray(address)
    with tempfile.TemporaryDirectory() as temporary, _cluster(ray, workers, address) as found:
        spool = Path(temporary, "paths.jsonl")
        with spool.open("w", encoding="ascii") as file:
            file.writelines(f"{json.dumps(path)}\n" for path in paths)
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        try:
            for table in _scored_tables(ray, spool, scoring, found):
                for packed in table["predictions"]:
                    predictions = pickle.loads(packed.as_py())
                    if isinstance(predictions, BrainsiftError):
                        raise predictions
                    yield from predictions
        except ray.exceptions.RayError as error:
            remedy = "Start the command again; Ray's own logs say more about the cause."
            raise BrainsiftError("Ray", f"gave up: {in_one_line(error)}", remedy) from error


class _Worker:
    """Scores chunks. It returns errors as results, because Ray would try again after an exception."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._predictor: Predictor | BrainsiftError
        try:
            self._predictor = scoring.predictor()
        except BrainsiftError as error:
            self._predictor = error

    def __call__(self, table: "pyarrow.Table") -> "pyarrow.Table":
        return _packed("predictions", [self._score(pickle.loads(chunk.as_py())) for chunk in table["chunk"]])

    def _score(self, chunk: list[Unit]) -> list[Prediction] | BrainsiftError:
        if isinstance(self._predictor, BrainsiftError):
            return self._predictor
        return [self._scoring.as_given(one) for one in self._predictor.predict(chunk)]


def _scored_tables(ray: Any, spool: Path, scoring: Scoring, workers: int) -> "Iterable[pyarrow.Table]":
    from ray.data import ActorPoolStrategy, DataContext, ExecutionResources

    context = DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 1  # one chunk per block: a worker takes a block at a time
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=_STORE_BYTES)
    with DataContext.current(context):
        chunks = ray.data.read_datasource(_source(spool, scoring), override_num_blocks=1, num_cpus=0)
        scored = chunks.map_batches(
            _Worker,
            fn_constructor_args=[scoring],
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        yield from scored.iter_batches(batch_size=None, batch_format="pyarrow")


def _source(spool: Path, scoring: Scoring) -> Any:
    """Returns what Ray Data reads from: one task beside the driver that yields one block per chunk."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    def read() -> "Iterator[pyarrow.Table]":
        with spool.open(encoding="ascii") as file:
            for chunk in chunks_of(scoring.anchored(json.loads(line)) for line in file):
                yield _packed("chunk", [chunk])

    class Files(Datasource):
        supports_distributed_reads = False

        def estimate_inmemory_data_size(self) -> None:
            return None

        def get_read_tasks(self, *_: object, **__: object) -> list[Any]:
            return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None))]

    return Files()


@contextmanager
def _cluster(ray: Any, workers: int, address: str) -> Iterator[int]:
    """Joins a cluster, or starts one here; yields the number of workers."""
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    own = {"num_cpus": workers or cores(), "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    try:
        _check_answering(address)
        with _muted():
            ray.init(address=address or "local", **({} if address else own), **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        remedy = "Start one with `ray start --head`, or leave the address out."
        raise UsageError("address", f"no Ray cluster at {address!r}: {in_one_line(error)}", remedy) from None
    try:
        yield workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
    finally:
        ray.shutdown()


def _check_answering(address: str) -> None:
    """Raises OSError or ValueError if no machine answers at host:port; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            pass


@contextmanager
def _muted() -> Iterator[None]:
    """Discards what the C++ part of Ray writes to standard error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _ray(address: str = "") -> Any:
    os.environ.update(_QUIET | (_ONE_TRY if address else {}))
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        rule = f"cannot be imported: {in_one_line(error)}"
        raise MissingExtraError("Ray", rule, "Run pip install 'brainsift[ray]'.") from None
    return ray


def _packed(column: str, values: list[Any]) -> "pyarrow.Table":
    import pyarrow

    return pyarrow.table({column: [pickle.dumps(value) for value in values]})


def _digest(bundle: Path) -> str:
    path = bundle / "bundle.json"
    return sha256_of(path.read_bytes()) if path.is_file() else ""
