"""Does a broken file crash brainsift, hang it, fill the memory, or get a result that it must not have?

Mutated files of seven formats (`mutations.py`) go one by one through `Predictor.predict` and through a running
`brainsift serve`, and block by block through `brainsift predict` with all its outputs and `brainsift audit`; tables of
images go through `audit` alone. Each way has a process of its own. A finding is:

- a crash, or an error that is not one of brainsift's; a reply of the service with a status of 500 or more;
- more than 10 seconds, or more memory than the bound;
- a result where the reference decoder fails: Pillow, pydicom or nibabel, or zipfile for the members of an archive;
- a result of the service or a status of the audit that is not that of `predict`.

Blocks that are done are not done again: what was interrupted goes on. Findings are kept in a folder beside the figures.

Usage:
    python bench/fuzz.py -o FOLDER [--files 10000] [--seed 0] [--workers 1] [--formats png dicom]
    python bench/fuzz.py -o FOLDER --only 1234 [--seed 0]
"""

import argparse
import csv
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mutations import FORMATS, Case, bases, make_case
from processes import Served, peak_mb, reset_peak, serving

from brainsift.core.environment import describe
from brainsift.core.errors import BrainsiftError
from brainsift.core.files import read_json, write_json
from brainsift.core.text import markdown_table

BLOCK = 250  # cases
_HANG_S = 10.0
_START_S = 120.0  # of a process that imports all of brainsift
_BLOCK_S = _HANG_S * BLOCK
_MOST_FRAMES = 50  # that the reference decodes
_CLOSE = 1e-4  # of two probabilities of one image
_TABLES = "csv"
_IMAGES = ("png", "jpeg", "tiff")  # what `audit` finds in a folder


@dataclass(frozen=True)
class Row:
    """A row of a prediction: which frame it is of, and what came out."""

    name: str
    status: str
    probability: float | None
    reason: str


@dataclass(frozen=True)
class Reference:
    """What the reference decoder cannot read: why not the whole file, or which of its frames (counted from 1)."""

    whole: str = ""
    frames: dict[str, str] = field(default_factory=dict)

    def refuses(self, name: str) -> str:
        """Tells why a row must have no result; ``name`` is that of its file, with #N for a frame."""
        return self.whole or self.frames.get(name, "")


@dataclass(frozen=True)
class Finding:
    """What must not be: the case, the way that it went, and what happened."""

    number: int
    way: str
    words: str
    made: str


@dataclass
class Tally:
    """The figures of a block; counts are by format."""

    files: Counter[str] = field(default_factory=Counter)
    scored: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    reference_refused: Counter[str] = field(default_factory=Counter)
    only_we_refused: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    peak_mb: float = 0.0
    served_peak_mb: float = 0.0
    slowest_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if isinstance(value, float) else mine + value)

    def to_dict(self) -> dict[str, Any]:
        counters = {name: dict(value) for name, value in vars(self).items() if isinstance(value, Counter)}
        return {**vars(self), **counters, "findings": [asdict(one) for one in self.findings]}

    @staticmethod
    def from_dict(told: dict[str, Any]) -> "Tally":
        counters = {name: Counter(value) for name, value in told.items() if isinstance(value, dict)}
        return Tally(**{**told, **counters, "findings": [Finding(**one) for one in told["findings"]]})


class GoneError(Exception):
    """A process that crashed or hung."""


class Child:
    """A process that does one thing for one file after the other, and is started again after a crash."""

    def __init__(self, work: Callable[[Connection], None]) -> None:
        self._work = work
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=self._work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(_START_S) or self._pipe.recv() != "ready":
            raise RuntimeError(f"{self._work.__name__} did not start")

    def ask(self, *words: Any, seconds: float) -> Any:
        """Returns the reply.

        Raises:
            GoneError: none came.
        """
        self._pipe.send(words)
        try:
            if self._pipe.poll(seconds):
                return self._pipe.recv()
            gone = f"no reply within {seconds:.0f} s"
        except EOFError:
            self._process.join()
            gone = f"it ended with {self._process.exitcode}"
        self.close()
        self._start()
        raise GoneError(gone)

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of fuzz.json and of the findings")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="blocks at a time; each has four processes")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--memory-mb", type=float, default=2000, help="bound for one file, with all of the process")
    parser.add_argument("--seconds", type=float, default=_HANG_S, help="after which a file counts as one that hangs")
    parser.add_argument("--only", type=int, metavar="CASE", help="one case, whose file and findings are printed")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.only is not None:
        case = make_case(arguments.seed, arguments.only, arguments.formats)
        (arguments.output / case.name).write_bytes(case.content)
        print(f"{arguments.output / case.name}: {case.made}")
        tally = run_block([case], arguments)
        print(json.dumps(tally.to_dict(), indent=2))
        sys.exit(bool(tally.findings))
    tally = all_blocks(arguments)
    print(table(tally))
    sys.exit(bool(tally.findings))


def all_blocks(arguments: argparse.Namespace) -> Tally:
    """Runs the blocks that are not done yet; returns the sum of all."""
    record = arguments.output / "fuzz.json"
    settings = {"seed": arguments.seed, "formats": list(arguments.formats)}
    known = read_json(record) if record.is_file() else {**settings, "blocks": {}}
    if {name: known[name] for name in settings} != settings:
        sys.exit(f"{record} holds other cases: choose another folder")
    done = {int(number): Tally.from_dict(told) for number, told in known["blocks"].items()}
    missing = iter([number for number in range(-(-arguments.files // BLOCK)) if number not in done])
    lock = threading.Lock()

    def work() -> None:
        while (number := _next(missing, lock)) is not None:
            numbers = range(number * BLOCK, min((number + 1) * BLOCK, arguments.files))
            tally = run_block([make_case(arguments.seed, one, arguments.formats) for one in numbers], arguments)
            with lock:
                done[number] = tally
                if len(numbers) == BLOCK:
                    known["blocks"][str(number)] = tally.to_dict()
                    write_json(record, {**known, "environment": describe()})
                words = f"block {number}: {len(tally.findings)} findings, slowest {tally.slowest_s:.1f} s"
                print(words, file=sys.stderr, flush=True)

    threads = [threading.Thread(target=work) for _ in range(arguments.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Tally()
    for number in sorted(done):
        whole.add(done[number])
    return whole


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def run_block(cases: Sequence[Case], arguments: argparse.Namespace) -> Tally:
    """Runs cases in processes of their own."""
    tally = Tally()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        works = (reference_work, predict_work, audit_work)
        reference, predict, audit = (stack.enter_context(closing(Child(work))) for work in works)
        server = stack.enter_context(serving("--threads", "1"))
        ways = Ways(reference, predict, audit, server, arguments.memory_mb, arguments.seconds)
        for base in bases("png")[:4]:  # what the tables name
            for number in range(3, 7):
                (folder / f"head-{number}.png").write_bytes(base.content)
        references: dict[str, Reference] = {}
        rows: dict[str, list[Row]] = {}
        for case in cases:
            path = folder / case.name
            path.write_bytes(case.content)
            found = run_case(case, path, ways, tally)
            references[case.name], rows[case.name] = found
            if not server.alive():
                tally.findings.append(Finding(case.number, "serve", "it ended", case.made))
                break
        tally.findings += whole_block(cases, folder, references, rows)
    for finding in tally.findings:
        case = next(one for one in cases if one.number == finding.number)
        kept = arguments.output / "findings"
        kept.mkdir(exist_ok=True)
        (kept / case.name).write_bytes(case.content)
        with (kept / f"{case.name}.txt").open("a") as file:
            file.write(f"{finding.way}: {finding.words}\n{finding.made}\n")
    return tally


@dataclass(frozen=True)
class Ways:
    """The processes that take single files, and the bound of their memory."""

    reference: Child
    predict: Child
    audit: Child
    serve: Served
    memory_mb: float
    seconds: float


def run_case(case: Case, path: Path, ways: Ways, tally: Tally) -> tuple[Reference, list[Row]]:
    """Runs one case in all ways that take single files, and judges it."""
    tally.files[case.format] += 1

    def found(way: str, words: str) -> None:
        tally.findings.append(Finding(case.number, way, words, case.made))

    def judged(way: str, child: Child | Served, *words: Any) -> Any:
        started = time.perf_counter()
        try:
            reply, peak = child.ask(*words, seconds=ways.seconds)
        except GoneError as error:
            found(way, str(error))
            return None
        tally.slowest_s = max(tally.slowest_s, time.perf_counter() - started)
        tally.peak_mb = max(tally.peak_mb, peak)
        if peak > ways.memory_mb:
            found(way, f"{peak:.0f} MB")
        if isinstance(reply, str):
            found(way, reply)
            return None
        return reply

    if case.format == _TABLES:
        judged("audit", ways.audit, str(path))
        return Reference(), []
    try:
        reference = ways.reference.ask(case.format, str(path), seconds=ways.seconds)
    except GoneError as error:
        reference = Reference(f"the reference: {error}")
    tally.reference_refused[case.format] += bool(reference.whole)
    rows: list[Row] = judged("predict", ways.predict, str(path)) or []
    tally.scored[case.format] += any(row.probability is not None for row in rows)
    refused = bool(rows) and all(row.probability is None for row in rows)
    tally.refused[case.format] += refused
    tally.only_we_refused[case.format] += refused and not reference.whole and case.format != "zip"
    for row in rows:
        if row.probability is not None and (why := reference.refuses(row.name)):
            found("predict", f"a result for {row.name}, which the reference refuses: {why}")
    served = judged("serve", ways.serve, str(path), case.number % 5 == 0)
    tally.served_peak_mb = max(tally.served_peak_mb, ways.serve.peak())
    if served is not None:
        tally.replies[str(served["status"])] += 1
        answers = [Row(**one) for one in served["rows"]]
        if case.format == "zip":
            tally.scored["zip"] += any(row.probability is not None for row in answers)
        for words in served_findings(case.format, served, answers, rows, reference):
            found("serve", words)
    return reference, rows


def served_findings(
    kind: str, served: dict[str, Any], answers: Sequence[Row], rows: Sequence[Row], reference: Reference
) -> Iterator[str]:
    """Judges what the service replied, next to what `predict` says of the same file."""
    status, words = served["status"], served["words"]
    if status >= 500:
        yield f"{status}: {words}"
    if kind == "zip":
        for row in answers:
            if row.probability is not None and (why := reference.refuses(row.name)):
                yield f"a result for {row.name}, which the reference refuses: {why}"
        return
    mine, theirs = ([row.probability for row in some] for some in (rows, answers))
    if status == 200 and (len(mine) != len(theirs) or any(map(_differ, mine, theirs))):
        yield f"{theirs[:9]}, where predict says {mine[:9]}"
    if status in (413, 422) and any(one is not None for one in mine) and "more than" not in words:
        yield f"{status} {words}, where predict says {mine[:9]}"


def _differ(one: float | None, other: float | None) -> bool:
    return one is not other and (one is None or other is None or abs(one - other) > _CLOSE)


def whole_block(
    cases: Sequence[Case], folder: Path, references: dict[str, Reference], rows: dict[str, list[Row]]
) -> Iterator[Finding]:
    """Runs the commands `predict` with all its outputs and `audit` over the files of a block."""
    ready = [case for case in cases if case.name in rows and case.format != _TABLES]
    scans = folder / "scans"
    for place, case in enumerate(ready):
        under = scans / ("tumor", "no_tumor")[place % 2]
        under.mkdir(parents=True, exist_ok=True)
        (folder / case.name).rename(under / case.name)
    if not ready:
        return
    out = folder / "out"
    outputs = ["--csv", "a.csv", "--json", "a.json", "--volumes", "v.csv", "--heatmaps", "maps", "--report", "a.html"]
    outputs = [word if word.startswith("--") else str(out / word) for word in outputs]
    yield from _command(["predict", str(scans), "--threads", "1", *outputs], (0, 3), ready[0])
    yield from _command(["audit", str(scans), "-o", str(out), "--no-probes", "--workers", "1"], (0, 3), ready[0])
    manifest = out / "manifest.csv"
    by_name = {case.name: case for case in ready}
    if manifest.is_file():
        with manifest.open(newline="") as file:
            for told in csv.DictReader(file):
                name = Path(told["path"]).name
                alone = len(rows[name]) == 1
                if told["status"] == "ok" and (why := references[name].refuses(name)) and alone:
                    yield Finding(
                        by_name[name].number, "audit", f"ok, where the reference says {why}", by_name[name].made
                    )
                scored = [row.probability is not None for row in rows[name]]
                if alone and scored[0] != (told["status"] == "ok"):
                    words = f"{told['status']}, where predict says {rows[name][0]}"
                    yield Finding(by_name[name].number, "audit", words, by_name[name].made)


def _command(words: Sequence[str], codes: Sequence[int], first: Case) -> Iterator[Finding]:
    command = [sys.executable, "-m", "brainsift", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BLOCK_S, check=False)
    except subprocess.TimeoutExpired:
        yield Finding(first.number, words[0], f"{_BLOCK_S:.0f} s for the block that begins here", "")
        return
    if done.returncode not in codes or "Traceback" in done.stderr:
        said = f"the block that begins here ended with {done.returncode}: {done.stderr[-1500:]}"
        yield Finding(first.number, words[0], said, "")


# What the processes do. Each sends "ready" once, and then a reply and its peak memory for each request.


def _answering(pipe: Connection, answer: Callable[..., Any]) -> None:
    pipe.send("ready")
    while True:
        words = pipe.recv()
        reset_peak()
        try:
            reply = answer(*words)
        except Exception:  # whatever it is, it is a finding
            reply = traceback.format_exc()[-1500:]
        pipe.send((reply, peak_mb()))


def predict_work(pipe: Connection) -> None:
    """Answers a path with the rows of its prediction."""
    from brainsift.inference.predictor import Predictor
    from brainsift.inference.volume_decision import VolumeCollector

    predictor = Predictor(threads=1)

    def answer(path: str) -> list[Row]:
        volumes, rows = VolumeCollector(predictor.rule), []
        for one in predictor.predict([path]):
            volumes.add(one)
            one.to_dict()
            rows.append(Row(_short(one.path), one.status, one.probability, one.reason))
        for volume in volumes.finish():
            volume.to_dict()
        return rows

    _answering(pipe, answer)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def audit_work(pipe: Connection) -> None:
    """Answers the path of a table with what the audit says of its images."""
    from brainsift.auditing.audit import AuditConfig, audit

    def answer(path: str) -> list[str]:
        try:
            result = audit(path, AuditConfig(workers=1, probes=False))
        except BrainsiftError as error:
            return [error.code]
        return list(result.manifest["status"])

    _answering(pipe, answer)


def reference_work(pipe: Connection) -> None:
    """Answers a format and a path with what the reference decoders cannot read."""
    import warnings

    warnings.simplefilter("ignore")
    readers = {"dicom": _dicom_reference, "nifti": _nifti_reference, "zip": _zip_reference}
    pipe.send("ready")
    while True:
        kind, path = pipe.recv()
        pipe.send(readers.get(kind, _image_reference)(Path(path)))


def _image_reference(path: Path) -> Reference:
    """Loads each frame with Pillow, in a file that is opened anew."""
    from PIL import Image

    from brainsift.images.decode import FORMATS as READ

    try:
        with Image.open(path, formats=READ) as image:
            count = getattr(image, "n_frames", 1)
    except Exception as error:
        return Reference(_words(error))
    frames = {}
    for number in range(1, min(count, _MOST_FRAMES) + 1):
        try:
            with Image.open(path, formats=READ) as image:
                image.seek(number - 1)
                image.load()
        except Exception as error:
            frames[f"{path.name}#{number}"] = _words(error)
    if count == 1:
        return Reference(*frames.values())
    return Reference("", frames | ({path.name: one} if (one := frames.get(f"{path.name}#1")) else {}))


def _dicom_reference(path: Path) -> Reference:
    """Decodes each frame with pydicom; attributes that the standard implies may be missing."""
    import pydicom
    from pydicom.pixels import pixel_array

    try:
        header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        count = int(header.get("NumberOfFrames") or 1)
    except Exception as error:
        return Reference(_words(error))
    frames = {}
    for number in range(1, min(count, _MOST_FRAMES) + 1):
        try:
            try:
                pixel_array(path, index=number - 1)
            except Exception:
                pixel_array(_completed(pydicom.dcmread(path, force=True)), index=number - 1)
        except Exception as error:
            if "missing dependencies" not in str(error):  # else there is no reference: JPEG Lossless
                frames[f"{path.name}#{number}"] = _words(error)
    return Reference(*frames.values()) if count <= 1 else Reference("", frames)


def _completed(header: Any) -> Any:
    """Gives a header what it may lack."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    usual = (("SamplesPerPixel", 1), ("PixelRepresentation", 0), ("PhotometricInterpretation", "MONOCHROME2"))
    for name, value in usual:
        if not header.get(name) and header.get(name) != 0:
            header.pop(name, None)  # it may stand there, empty, as text
            setattr(header, name, value)
    if not header.get("BitsStored"):
        header.BitsStored = header.BitsAllocated
    if not header.file_meta.get("TransferSyntaxUID"):  # DICOM PS3.5, 10.1: then it is one of the two plain ones
        explicit = header.original_encoding[0] is False
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    return header


def _nifti_reference(path: Path) -> Reference:
    """Reads the first volume with nibabel."""
    import nibabel
    import numpy as np

    try:
        image = nibabel.load(path)
        np.asarray(image.dataobj[(..., *(0 for _ in image.shape[3:]))])
    except Exception as error:
        return Reference(_words(error))
    return Reference()


def _zip_reference(path: Path) -> Reference:
    """Reads each member, and each by the reference of its own kind."""
    readers = {".dcm": _dicom_reference, ".nii": _nifti_reference, ".gz": _nifti_reference, "": _dicom_reference}
    frames: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = Counter(_short(member.filename) for member in archive.infolist())
            for member in archive.infolist():
                name = _short(member.filename)
                if member.is_dir() or names[name] > 1 or len(name.encode()) > 200 or not name.isprintable():
                    continue
                try:
                    content = archive.read(member)
                except Exception as error:
                    frames[name] = _words(error)
                    continue
                placed = Path(folder, name)
                placed.write_bytes(content)
                found = readers.get(placed.suffix, _image_reference)(placed)
                frames |= found.frames | ({name: found.whole} if found.whole else {})
    except Exception as error:
        return Reference(_words(error), frames)
    return Reference("", frames)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def table(tally: Tally) -> str:
    """Returns the figures as Markdown."""
    names = [name for name in FORMATS if tally.files[name]]
    counts = ("files", "scored", "refused", "reference_refused", "only_we_refused")
    found = {finding.number for finding in tally.findings}
    rows = [(name, *(str(getattr(tally, count)[name]) for count in counts)) for name in names]
    rows.append(("all", *(str(sum(getattr(tally, count).values())) for count in counts)))
    head = ("format", "files", "with a result", "refused", "the reference refuses", "refused by us alone")
    replies = ", ".join(f"{count} × {status}" for status, count in sorted(tally.replies.items()))
    return "\n\n".join(
        [
            markdown_table(head, rows),
            f"The service: {replies}. Slowest file: {tally.slowest_s:.1f} s. Peak memory: {tally.peak_mb:.0f} MB, "
            f"of the service {tally.served_peak_mb:.0f} MB.",
            f"{len(tally.findings)} findings in {len(found)} files.",
            *(f"- {one.number}, {one.way}: {one.words.strip().splitlines()[-1][:160]}" for one in tally.findings[:50]),
        ]
    )


if __name__ == "__main__":
    main()
