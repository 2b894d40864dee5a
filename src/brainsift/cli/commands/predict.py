"""Tell tumor from no tumor in images, DICOM, NIfTI and folders. Unreadable files are reported (exit code 3 then).

brainsift predict scans 'more/**/*.png' --csv answers.csv
find scans -newer last-run | brainsift predict - --json answers.json
brainsift predict scans --engine ray --csv answers.csv    a worker a core, or the machines of a Ray cluster
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from brainsift.cli.console import NOTICE, progress_bar, say
from brainsift.core.errors import UsageError
from brainsift.core.files import check_writable, csv_rows, json_rows
from brainsift.core.progress import Progress
from brainsift.inference.bundle import SHIPPED, Bundle, load_bundle
from brainsift.inference.overlay import write_overlay
from brainsift.inference.predictor import COLUMNS, Prediction, Predictor, make_rule
from brainsift.inference.volume_decision import VolumeAnswer, VolumeAnswers, write_montage, write_volumes
from brainsift.volumes.inputs import STANDARD_INPUT, find_images, read_list

if TYPE_CHECKING:
    from brainsift.pages.batch_page import Cases

_UNREADABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="images, DICOM and NIfTI files, folders, patterns; - reads a list"
    )
    parser.add_argument(
        "--bundle", type=Path, default=SHIPPED, metavar="DIR", help="of `brainsift export` (default: the package's own)"
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--threshold",
        metavar="NAME",
        help="balanced (default; of volumes confirm), screening, confirm, even (with --max-error)",
    )
    threshold.add_argument("--sensitivity", type=float, metavar="X", help="the threshold that reaches it, 0.5 to 0.995")
    parser.add_argument(
        "--max-error", type=float, metavar="X", help="refer what is not sure enough for this share of wrong answers"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table")
    parser.add_argument("--volumes", type=Path, metavar="FILE", help="write a table of the volumes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a page with each case, its picture and why, HTML or PDF"
    )
    parser.add_argument(
        "--heatmaps",
        type=Path,
        metavar="DIR",
        help="write each image with the tumor map over it; a montage a volume",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="(default: one a core)")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: worker processes, here or on many machines"
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="of ray (default: one a core)")
    parser.add_argument(
        "--address", default="", help="of a running Ray cluster, host:port, or auto (default: one is started here)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predicts."""
    _check(arguments)
    _check_targets(arguments)
    bundle = load_bundle(arguments.bundle)
    rule = make_rule(bundle, threshold=_threshold(arguments), max_error=arguments.max_error)
    listed = arguments.paths == [STANDARD_INPUT]
    expected = 0 if listed else sum(1 for _ in find_images(arguments.paths))
    statuses, decisions = Counter[str](), Counter[str]()
    slices = VolumeAnswers(rule)
    maps: dict[str, Path] = {}
    cases = _cases() if arguments.report else None
    with ExitStack() as stack:
        report, writers = stack.enter_context(progress_bar()), _writers(arguments, stack)
        if arguments.engine == "ray":
            answers = _bulk_answers(arguments, stack)
        else:
            predictor = _predictor(arguments, bundle)
            answers = predictor.predict(read_list(sys.stdin) if listed else find_images(arguments.paths))
        for number, answer in enumerate(answers):
            for write in writers:
                write(answer.to_dict())
            if not writers:
                print(_line(answer))
            if arguments.heatmaps and answer.tumor_map is not None:
                picture = write_overlay(answer, arguments.heatmaps, size=bundle.size, number=number)
                maps.update({answer.path: picture} if answer.volume else {})
            if cases:
                cases.add(answer)
            slices.add(answer)
            statuses[answer.status] += 1
            decisions[answer.decision] += 1
            report(Progress("scoring", number + 1, max(number + 1, expected)))
    volumes = slices.finish()
    for volume in volumes:
        print(_volume_line(volume))
    if arguments.volumes:
        write_volumes(volumes, arguments.volumes)
    if cases:
        cases.write(volumes, bundle, rule.threshold, arguments.report)
    if arguments.heatmaps:
        _write_montages(volumes, maps, arguments.heatmaps)
    print(NOTICE, file=sys.stderr)
    if arguments.csv or arguments.json:
        say(
            f"{statuses.total()} images: {decisions['tumor']} tumor, {decisions['no_tumor']} no tumor, "
            f"{decisions['refer']} to refer ({statuses['not_brain_mri']} of them no brain MRI), "
            f"{statuses['unreadable']} unreadable"
        )
    return _UNREADABLE if statuses["unreadable"] else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuses what an engine does not know."""
    refused = {
        "ray": (
            ("heatmaps", "tumor maps stay with the workers", "Draw them with the local engine, of what needs a look."),
            ("report", "tumor maps stay with the workers", "Make it with the local engine, of what needs a look."),
            ("threads", "each worker has one thread", "Say --workers."),
        ),
        "local": (
            ("workers", "only the engine ray has workers", "Say --threads, or --engine ray."),
            ("address", "only the engine ray has a cluster", "Say --engine ray."),
        ),
    }
    for name, rule, remedy in refused[arguments.engine]:
        if getattr(arguments, name):
            raise UsageError(f"--{name}", rule, remedy)
    if arguments.workers < 0:
        raise UsageError("--workers", f"must be 1 or more, not {arguments.workers}", "Leave it out for one a core.")


def _check_targets(arguments: argparse.Namespace) -> None:
    """Refuses files that cannot be written, before anything is scored."""
    for target in (arguments.csv, arguments.json, arguments.volumes):
        if target:
            check_writable(target)
    if arguments.report:
        from brainsift.pages.html import check_page  # costs start-up time

        check_page(arguments.report)


def _threshold(arguments: argparse.Namespace) -> str | float | None:
    return arguments.threshold if arguments.sensitivity is None else arguments.sensitivity


def _predictor(arguments: argparse.Namespace, bundle: Bundle) -> Predictor:
    return Predictor(
        bundle,
        threshold=_threshold(arguments),
        max_error=arguments.max_error,
        threads=arguments.threads,
    )


def _bulk_answers(arguments: argparse.Namespace, stack: ExitStack) -> Iterable[Prediction]:
    from brainsift.inference.ray_engine import Scoring, predict_bulk

    scoring = Scoring.here(arguments.bundle, threshold=_threshold(arguments), max_error=arguments.max_error)
    listing: Callable[[], Iterable[str]] = partial(find_images, arguments.paths)
    if arguments.paths == [STANDARD_INPUT]:
        spool = Path(stack.enter_context(tempfile.TemporaryDirectory()), "paths")
        with spool.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{path}\n" for path in read_list(sys.stdin))
        listing = partial(_spooled, spool)
    return stack.enter_context(
        closing(predict_bulk(listing, scoring, workers=arguments.workers, address=arguments.address))
    )


def _spooled(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        yield from read_list(file)


def _writers(arguments: argparse.Namespace, stack: ExitStack) -> list[Callable[[Mapping[str, object]], object]]:
    """Opens the tables asked for; they are written answer by answer."""
    opened = []
    if arguments.csv:
        opened.append(stack.enter_context(csv_rows(arguments.csv, COLUMNS)))
    if arguments.json:
        opened.append(stack.enter_context(json_rows(arguments.json)))
    return opened


def _cases() -> "Cases":
    from brainsift.pages.batch_page import Cases  # its templates cost start-up time

    return Cases()


def _line(answer: Prediction) -> str:
    if answer.probability is None:
        return f"{answer.path}\t{answer.status}\t{answer.detail}"
    words = f"{answer.path}\t{answer.decision}\t{answer.probability:.3f}"
    return f"{words}\t{answer.detail}" if answer.detail else words


def _volume_line(answer: VolumeAnswer) -> str:
    if answer.probability is None:
        return f"volume {answer.volume}\t{answer.decision}\tno slice could be scored"
    words = f"{answer.probability:.3f}\tof {answer.n_slices} slices, threshold {answer.threshold:.3f}"
    return f"volume {answer.volume}\t{answer.decision}\t{words}"


def _write_montages(volumes: Sequence[VolumeAnswer], maps: Mapping[str, Path], folder: Path) -> None:
    for number, volume in enumerate(volumes):
        pictures = [maps[name] for name in volume.suspicious if name in maps]
        if pictures:
            write_montage(pictures, folder / f"volume-{number:05d}.png")
