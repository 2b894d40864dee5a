"""Tell tumor from no tumor in images, DICOM, NIfTI and folders. Unreadable files are reported (exit code 3 then)."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from brainsift.bundle import SHIPPED, load_bundle
from brainsift.commands._console import NOTICE, progress_bar, say
from brainsift.overlay import write_overlay
from brainsift.predict import Prediction, Predictor, find_images, write_csv, write_json_list
from brainsift.volume_answers import VolumeAnswer, summarise_volumes, write_montage, write_volumes

_UNREADABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="images, DICOM and NIfTI files, folders")
    parser.add_argument(
        "--bundle", type=Path, default=SHIPPED, metavar="DIR", help="of `brainsift export` (default: the package's own)"
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--threshold", metavar="NAME", help="balanced (default), screening, confirm or even (with --max-error)"
    )
    threshold.add_argument("--sensitivity", type=float, metavar="X", help="the threshold that reaches it, 0.5 to 0.995")
    parser.add_argument(
        "--max-error", type=float, metavar="X", help="refer what is not sure enough for this share of wrong answers"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table")
    parser.add_argument("--volumes", type=Path, metavar="FILE", help="write a table of the volumes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with each case, its picture and why")
    parser.add_argument(
        "--heatmaps",
        type=Path,
        metavar="DIR",
        help="write each image with the tumor map over it; a montage a volume",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="(default: one a core)")


def run(arguments: argparse.Namespace) -> int:
    """Predicts."""
    predictor = Predictor(
        load_bundle(arguments.bundle),
        threshold=arguments.threshold if arguments.sensitivity is None else arguments.sensitivity,
        max_error=arguments.max_error,
        threads=arguments.threads,
    )
    paths = list(find_images(arguments.paths))
    answers: list[Prediction] = []
    maps: dict[str, Path] = {}
    with progress_bar() as report:
        for answer in predictor.predict(paths):
            if arguments.heatmaps and answer.tumor_map is not None:
                picture = write_overlay(answer, arguments.heatmaps, size=predictor.bundle.size, number=len(answers))
                maps[answer.path] = picture
            answers.append(answer)
            report(len(answers), max(len(answers), len(paths)), "scoring")
    volumes = summarise_volumes(answers, threshold=predictor.threshold, margin=predictor.margin)
    if arguments.csv:
        write_csv(answers, arguments.csv)
    if arguments.json:
        write_json_list(answers, arguments.json)
    if not (arguments.csv or arguments.json):
        for answer in answers:
            print(_line(answer))
    for volume in volumes:
        print(_volume_line(volume))
    if arguments.volumes:
        write_volumes(volumes, arguments.volumes)
    if arguments.report:
        from brainsift.batch_page import write_batch_report  # its templates cost start-up time

        write_batch_report(answers, volumes, predictor.bundle, predictor.threshold, arguments.report)
    if arguments.heatmaps:
        _write_montages(volumes, maps, arguments.heatmaps)
    print(NOTICE, file=sys.stderr)
    statuses, decisions = Counter(one.status for one in answers), Counter(one.decision for one in answers)
    if arguments.csv or arguments.json:
        say(
            f"{len(answers)} images: {decisions['tumor']} tumor, {decisions['no_tumor']} no tumor, "
            f"{decisions['refer']} to refer ({statuses['not_brain_mri']} of them no brain MRI), "
            f"{statuses['unreadable']} unreadable"
        )
    return _UNREADABLE if statuses["unreadable"] else 0


def _line(answer: Prediction) -> str:
    if answer.probability is None:
        return f"{answer.path}\t{answer.status}\t{answer.detail}"
    words = f"{answer.path}\t{answer.decision}\t{answer.probability:.3f}"
    return f"{words}\t{answer.detail}" if answer.detail else words


def _volume_line(answer: VolumeAnswer) -> str:
    if answer.probability is None:
        return f"volume {answer.volume}\t{answer.decision}\tno slice could be scored"
    return f"volume {answer.volume}\t{answer.decision}\t{answer.probability:.3f}\tof {answer.n_slices} slices"


def _write_montages(volumes: Sequence[VolumeAnswer], maps: Mapping[str, Path], folder: Path) -> None:
    for number, volume in enumerate(volumes):
        pictures = [maps[name] for name in volume.suspicious if name in maps]
        if pictures:
            write_montage(pictures, folder / f"volume-{number:05d}.png")
