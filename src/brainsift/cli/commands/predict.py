"""Tell tumor from no tumor in images, DICOM, NIfTI and folders.

Exit code 3: at least one file is unreadable, or a tumor map or the report could not be written.

brainsift predict scans 'more/**/*.png' --csv answers.csv
find scans -newer last-run | brainsift predict - --json answers.json
brainsift predict scans --engine ray --csv answers.csv    one worker per core, or the machines of a Ray cluster
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from brainsift.batch.predict_files import predict_files
from brainsift.cli.console import NOTICE, progress_bar, say
from brainsift.core.environment import cores
from brainsift.core.errors import UsageError
from brainsift.inference.bundle import SHIPPED
from brainsift.inference.decision import Prediction
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.volumes.inputs import STANDARD_INPUT, read_list

_UNREADABLE = 3
_NAMED = 3  # of the files that are skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="images, DICOM and NIfTI files, folders, patterns; - reads a list"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=SHIPPED,
        metavar="DIR",
        help="model bundle, made by `brainsift export` (default: the one in the package)",
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--threshold",
        metavar="NAME",
        help="balanced (default), screening, confirm, even (with --max-error); volumes have thresholds of their own",
    )
    threshold.add_argument(
        "--sensitivity", type=float, metavar="X", help="use the threshold that reaches this sensitivity, 0.5 to 0.995"
    )
    parser.add_argument(
        "--max-error",
        type=float,
        metavar="X",
        help="largest share of wrong decisions; refer what is not sure enough for it",
    )
    parser.add_argument(
        "--any-body-part",
        action="store_true",
        help="score also DICOM whose header names another part of the body than the head",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table, one row per image or slice")
    parser.add_argument("--volumes", type=Path, metavar="FILE", help="write a table, one row per volume")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON, one entry per image or slice")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a page with each image, its tumor map and why, HTML or PDF"
    )
    parser.add_argument(
        "--heatmaps",
        type=Path,
        metavar="DIR",
        help="write each image with the tumor map over it, and one montage per volume",
    )
    parser.add_argument(
        "--dicom",
        type=Path,
        metavar="DIR",
        help="write the result of each DICOM series as DICOM objects: report, segmentation, pictures",
    )
    parser.add_argument(
        "--dicom-also",
        choices=("fractional", "pdf"),
        action="append",
        default=[],
        help="write the whole tumor map, or a page, as a DICOM object, too; may be repeated",
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="threads of one process, instead of worker processes"
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: worker processes, also on many machines (default: local)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="worker processes (default: one per core, where files are many)",
    )
    parser.add_argument(
        "--address", default="", help="of a running Ray cluster, host:port, or auto (default: start one here)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predicts."""
    options = {**vars(arguments)}
    also = options.pop("dicom_also")
    if also and not arguments.dicom:
        raise UsageError("--dicom-also", "needs --dicom", "Name a folder with --dicom.")
    if also:
        from brainsift.dicom_results.result_set import ResultOptions  # start-up does without it

        options["dicom_options"] = ResultOptions(fractional="fractional" in also, pdf="pdf" in also)
    if arguments.paths == [STANDARD_INPUT]:
        options |= {"paths": read_list(sys.stdin), "expand": False}
    if arguments.engine == "local" and not arguments.threads:
        options["workers"] = arguments.workers or cores()
    to_table = arguments.csv or arguments.json
    with progress_bar() as report:
        result = predict_files(**options, each=None if to_table else _print_line, progress=report)
    for volume in result.volumes:
        print(_volume_line(volume))
    if result.n_skipped:
        shown = result.skipped[:_NAMED]
        names = [repr(Path(name).name) for name in shown]  # printable, whatever the name
        names += [f"{result.n_skipped - len(shown)} more"] if result.n_skipped > len(shown) else []
        print(f"skipped {result.n_skipped} files, no image by name or content: {', '.join(names)}", file=sys.stderr)
    for reason in result.left_out:
        print(f"left out: {reason}", file=sys.stderr)
    print(NOTICE, file=sys.stderr)
    statuses, decisions = Counter(result.by_status), Counter(result.by_decision)
    if to_table:
        say(
            f"{result.n} images: {decisions['tumor']} tumor, {decisions['no_tumor']} no tumor, "
            f"{decisions['refer']} to refer ({statuses['not_brain_mri']} of them no brain MRI), "
            f"{statuses['unreadable']} unreadable"
        )
    for words in result.unwritten:
        print(f"brainsift predict: {words}", file=sys.stderr)
    return _UNREADABLE if statuses["unreadable"] or result.unwritten else 0


def _print_line(one: Prediction) -> None:
    if one.probability is None:
        print(f"{one.path}\t{one.status}\t{one.detail}")
    else:
        words = f"{one.path}\t{one.decision}\t{one.probability:.3f}"
        print(f"{words}\t{one.detail}" if one.detail else words)


def _volume_line(one: VolumePrediction) -> str:
    words = [f"volume {one.volume}", one.finding]
    if one.probability is not None:
        words += [f"{one.probability:.3f}", f"{one.n_scored} of {one.n_slices} slices, threshold {one.threshold:.3f}"]
    return "\t".join([*words, one.detail] if one.detail else words)
