"""Files, folders and patterns to predictions in tables, with tumor maps and a report: what `brainsift predict` does."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from brainsift.core.errors import InputError, UsageError, in_one_line
from brainsift.core.files import check_format, check_writable, csv_rows, json_rows, write_csv
from brainsift.core.progress import Progress, Report, silent
from brainsift.core.records import OMITTED, Record
from brainsift.inference.bundle import SHIPPED, Bundle, load_bundle
from brainsift.inference.decision import Prediction, Rule, columns_of, make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import VOLUME_COLUMNS, VolumeCollector, VolumePrediction
from brainsift.volumes.inputs import Skipped, find_images

if TYPE_CHECKING:
    from brainsift.dicom_results.result_set import ResultOptions

Engine = Literal["local", "ray"]
_DRAW_LOCALLY = "Use the engine local, for the images that need a look."


@dataclass(frozen=True)
class BatchResult(Record):
    """What was predicted, and what was written.

    Attributes:
        n: number of predictions: one per image, one per slice of a volume.
        by_status: their number by status.
        by_decision: their number by decision; "" for what is unreadable.
        volumes: the predictions for volumes, in order.
        written: the tables, the report and the folders of the tumor maps and of the DICOM objects, as far as they were
            wanted and written.
        left_out: why a DICOM object could not be made, one sentence each, the name of the volume first.
        unwritten: what of the report, the tumor maps and the DICOM objects could not be written, one sentence each; the
            tables are whole.
        n_skipped: number of files in the folders that are no image by name and content.
        skipped: the first of them.
    """

    SCHEMA: ClassVar[int] = 1

    n: int
    by_status: dict[str, int]
    by_decision: dict[str, int]
    volumes: tuple[VolumePrediction, ...]
    written: tuple[Path, ...]
    left_out: tuple[str, ...] = field(default=(), metadata=OMITTED)
    unwritten: tuple[str, ...] = field(default=(), metadata=OMITTED)
    n_skipped: int = field(default=0, metadata=OMITTED)
    skipped: tuple[str, ...] = field(default=(), metadata=OMITTED)


def predict_files(
    paths: str | Path | Iterable[str | Path],
    *,
    expand: bool = True,
    bundle: Bundle | str | Path = SHIPPED,
    threshold: str | None = None,
    sensitivity: float | None = None,
    max_error: float | None = None,
    any_body_part: bool = False,
    csv: str | Path | None = None,
    json: str | Path | None = None,
    volumes: str | Path | None = None,
    heatmaps: str | Path | None = None,
    report: str | Path | None = None,
    dicom: str | Path | None = None,
    dicom_options: "ResultOptions | None" = None,
    engine: Engine = "local",
    workers: int = 0,
    address: str = "",
    threads: int = 0,
    each: Callable[[Prediction], object] | None = None,
    progress: Report = silent,
) -> BatchResult:
    """Predicts for many files, and writes what is wanted as the predictions come.

    What is in memory does not grow with the number of files. A table that cannot be written whole is not written. A
    tumor map or a report that cannot be written costs itself, not the tables.

    Args:
        paths: images, DICOM and NIfTI files, folders and patterns.
        expand: False takes each path as one file, as the paths come: a missing one gives a prediction "unreadable".
        bundle: or its folder; the one that comes with the package by default.
        threshold: by name; by default `balanced`, and `even` with ``max_error``; volumes have thresholds of their own.
        sensitivity: the wanted one, instead of a name.
        max_error: of the decisions, the largest share that may be wrong; what is not sure enough for it is referred.
        any_body_part: score also what its header calls another part of the body.
        csv: table to write, one row per image or slice.
        json: the same as JSON.
        volumes: table to write, one row per volume.
        heatmaps: folder for each image with the tumor map over it, and one montage per volume.
        report: page to write, with the most suspicious images and why; HTML, or PDF where the name ends in .pdf.
        dicom: folder for the result of each DICOM series as DICOM objects, one folder per volume; needs the extra
            `dicom`.
        dicom_options: which objects those are; None for the default ones.
        engine: "local" for this machine, "ray" for worker processes here or on many machines.
        workers: processes. Of the engine ray, 0 takes one per core; of the engine local, threads of this process. A
            script that wants workers of the engine local needs ``if __name__ == "__main__":`` around what it does, as
            for all processes that Python starts.
        address: of a running Ray cluster, host:port or ``auto``; "" starts one here.
        threads: of this process, instead of workers; 0 for one per core.
        each: is called with each prediction, in order.
        progress: takes the progress.

    Raises:
        UsageError: options that exclude each other, or a threshold or a share that the bundle does not know.
        InputError: a path that does not exist, or a file that cannot be written; before anything is scored.
        BundleError: the bundle is missing or altered.
        MissingExtraError: a PDF without the extra `pdf`, the engine ray without the extra `ray`, or DICOM objects
            without the extra `dicom`.

    >>> predict_files("nowhere.png", expand=False).by_status
    {'unreadable': 1}
    """
    if threshold is not None and sensitivity is not None:
        raise UsageError("threshold", "and sensitivity exclude each other", "Give one of them.")
    wanted = threshold if sensitivity is None else sensitivity
    _check_engine(
        engine, heatmaps=heatmaps, report=report, dicom=dicom, workers=workers, address=address, threads=threads
    )
    _check_targets([(csv, ".csv"), (json, ".json"), (volumes, ".csv")], heatmaps, report)
    bundle = bundle if isinstance(bundle, Bundle) else load_bundle(Path(bundle))
    rule = make_rule(bundle, threshold=wanted, max_error=max_error)
    named = map(str, [paths] if isinstance(paths, str | Path) else paths)
    skipped = Skipped()
    collector, statuses, decisions = VolumeCollector(rule), Counter[str](), Counter[str]()
    with ExitStack() as stack:
        names, expected = stack.enter_context(_spooled(find_images(named, skipped=skipped))) if expand else (named, 0)
        drawings = _Drawings(bundle, rule, heatmaps=heatmaps, report=report, dicom=dicom, dicom_options=dicom_options)
        rows = [stack.enter_context(csv_rows(Path(csv), columns_of(bundle)))] if csv else []
        rows += [stack.enter_context(json_rows(Path(json)))] if json else []
        takers = [collector.add, drawings.add, *([each] if each else [])]
        if engine == "ray":
            from brainsift.batch.ray_engine import Scoring, predict_bulk

            scoring = Scoring.here(bundle.folder, threshold=wanted, max_error=max_error, any_body_part=any_body_part)
            scored = predict_bulk(names, scoring, workers=workers, address=address)
            predictions: Iterator[Prediction] = stack.enter_context(closing(scored))
        else:
            make = partial(Predictor, bundle, threshold=wanted, max_error=max_error, any_body_part=any_body_part)
            if workers:
                from brainsift.batch.processes import predict_in_processes  # start-up does without it

                predictions = stack.enter_context(closing(predict_in_processes(names, make, workers=workers)))
            else:
                predictions = make(threads=threads).predict(names)
        for number, one in enumerate(predictions, start=1):
            for write_row in rows:
                write_row(one.to_dict())
            for take in takers:
                take(one)
            statuses[one.status] += 1
            decisions[one.decision] += 1
            progress(Progress("scoring", number, max(number, expected)))
    found = collector.finish()
    if volumes:
        write_csv(Path(volumes), VOLUME_COLUMNS, (volume.to_dict() for volume in found))
    drawings.finish(found)
    targets = [Path(path) for path in (csv, json, volumes, report, heatmaps, dicom) if path]
    written = tuple(path for path in targets if path.exists())
    return BatchResult(
        statuses.total(),
        dict(statuses),
        dict(decisions),
        tuple(found),
        written,
        tuple(drawings.left_out),
        drawings.unwritten(),
        n_skipped=skipped.count,
        skipped=tuple(skipped.names),
    )


@contextmanager
def _spooled(names: Iterable[str]) -> Iterator[tuple[Iterator[str], int]]:
    """Yields names and their number; a file keeps them meanwhile, as there may be millions."""
    import json
    from tempfile import TemporaryFile

    with TemporaryFile("w+", encoding="ascii") as file:
        count = 0
        for name in names:
            file.write(f"{json.dumps(name)}\n")
            count += 1
        file.seek(0)
        yield map(json.loads, file), count


class _Drawings:
    """What is drawn beside the tables; what of it cannot be written costs itself alone.

    Attributes:
        left_out: why a DICOM object could not be made, one sentence each.
    """

    def __init__(
        self,
        bundle: Bundle,
        rule: Rule,
        *,
        heatmaps: str | Path | None,
        report: str | Path | None,
        dicom: str | Path | None,
        dicom_options: "ResultOptions | None",
    ) -> None:
        self.left_out: Sequence[str] = ()
        self._takers: list[tuple[str, Callable[[Prediction], object]]] = []
        self._finishers: list[tuple[str, Callable[[Sequence[VolumePrediction]], object]]] = []
        self._causes: dict[str, list[str]] = {}
        if heatmaps:
            from brainsift.batch.heatmaps import Heatmaps  # start-up does without it

            maps = Heatmaps(Path(heatmaps), size=bundle.size)
            self._take(heatmaps, maps.add, maps.write_montages)
        if report:
            from brainsift.pages.batch_page import Cases  # its templates cost start-up time

            cases = Cases()
            self._take(report, cases.add, lambda found: cases.write(found, bundle, rule.threshold, Path(report)))
        if dicom:
            from brainsift.batch.dicom_sets import DicomSets  # start-up does without it

            sets = DicomSets(Path(dicom), bundle, rule, dicom_options)
            self.left_out = sets.left_out
            self._take(dicom, sets.add, lambda _: sets.finish())

    def _take(
        self,
        place: str | Path,
        taker: Callable[[Prediction], object],
        finisher: Callable[[Sequence[VolumePrediction]], object],
    ) -> None:
        self._takers.append((str(place), taker))
        self._finishers.append((str(place), finisher))

    def add(self, prediction: Prediction) -> None:
        """Hands a prediction on."""
        for place, taker in self._takers:
            with self._losing(place):
                taker(prediction)

    def finish(self, volumes: Sequence[VolumePrediction]) -> None:
        """Hands the volumes on."""
        for place, finisher in self._finishers:
            with self._losing(place):
                finisher(volumes)

    def unwritten(self) -> tuple[str, ...]:
        """Returns a sentence per output that is not whole."""
        return tuple(
            f"{place} cannot be written: {causes[0]}{f' ({len(causes)} times)' if len(causes) > 1 else ''}"
            for place, causes in self._causes.items()
        )

    @contextmanager
    def _losing(self, place: str) -> Iterator[None]:
        """Notes a file that cannot be written, or an image that cannot be read again."""
        try:
            yield
        except (OSError, InputError) as error:
            self._causes.setdefault(place, []).append(in_one_line(error))


def _check_engine(engine: Engine, *, workers: int, **options: object) -> None:
    """Refuses options that an engine does not know."""
    if workers < 0:
        raise UsageError("workers", f"must be 0 or more, not {workers}", "0 takes one per core.")
    refused = {
        "ray": {
            "heatmaps": ("is not known to the engine ray: tumor maps stay with the workers", _DRAW_LOCALLY),
            "report": ("is not known to the engine ray: tumor maps stay with the workers", _DRAW_LOCALLY),
            "dicom": ("is not known to the engine ray: tumor maps stay with the workers", _DRAW_LOCALLY),
            "threads": ("is not known to the engine ray: each worker has one thread", "Set workers instead."),
        },
        "local": {
            "address": ("is known to the engine ray only", "Choose the engine ray."),
        },
    }
    if engine not in refused:
        raise UsageError("engine", f"must be 'local' or 'ray', not {engine!r}", "Choose one of them.")
    for name, (rule, remedy) in refused[engine].items():
        if {"workers": workers, **options}[name]:
            raise UsageError(name, rule, remedy)
    if engine == "local" and workers and options["threads"]:
        raise UsageError("workers", "and threads exclude each other", "Give one of them.")


def _check_targets(
    tables: Iterable[tuple[str | Path | None, str]], heatmaps: str | Path | None, report: str | Path | None
) -> None:
    """Refuses files that cannot be written, and names that promise another format, before anything is scored.

    Args:
        tables: each with the suffix of its format; None for one that is not wanted.
        heatmaps: the folder of the tumor maps.
        report: the page.
    """
    for table, suffix in tables:
        if table:
            check_format(Path(table), suffix)
            check_writable(Path(table))
    if heatmaps:
        check_writable(Path(heatmaps) / "00000.png")
    if report:
        from brainsift.pages.html import check_page  # its templates cost start-up time

        check_page(Path(report))
