"""What a node does beside Orthanc: time to the result, images per second, memory, and what is left after kill -9.

Needs root on Linux, Orthanc and DCMTK: it runs in a network namespace of its own, with drawn series.

    python bench/node.py latency           seconds from the last image to the results in Orthanc
    python bench/node.py receive           images per second beside DCMTK's storescp
    python bench/node.py memory --series 500
    python bench/node.py kill --times 50   kill -9 at random moments: one set of results, always the same bytes
    python bench/node.py interleaved       two studies over four associations at once: nothing is lost, nothing twice
"""

import argparse
import hashlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.uid import MRImageStorage

sys.path.insert(0, str(Path(__file__).parents[1]))

from brainsift.serve.history.store import History
from tests.node.conftest import (
    free_port,
    instances,
    journal_of,
    listens,
    loopback_only,
    node_settings,
    orthanc,
    process,
    program,
    running_node,
    send,
    until,
    write_series,
)


@contextmanager
def beside(folder: Path, **settings: Any) -> Iterator[tuple[Any, Path, int]]:
    """Yields an Orthanc and the settings of a node that sends there."""
    port = free_port()
    with orthanc(folder / "orthanc", port) as archive:
        yield archive, node_settings(folder / "n", port=port, target=archive.port, **settings), port


def latency(folder: Path, slices: tuple[int, ...] = (24, 200), quiet_s: float = 1.0) -> None:
    """Prints the seconds from the last image to the last result in Orthanc, without the quiet time."""
    with beside(folder, quiet_s=quiet_s) as (_, config, port), running_node(config):
        for number, count in enumerate(slices, 1):
            files = write_series(folder / f"in{number}", seed=number, count=count, side=256)
            send(port, *files)
            start = time.monotonic()
            done = lambda: len([one for one in journal_of(config).series() if one.state == "delivered"])  # noqa: E731
            until(lambda: done() == number, seconds=600)  # noqa: B023
            took = time.monotonic() - start - quiet_s
            print(json.dumps({"slices": count, "seconds": round(took, 1), "without_quiet_s": quiet_s}))


def receive(folder: Path, count: int = 500) -> None:
    """Prints images per second of the node and of DCMTK's storescp, one association, 256 x 256."""
    files = write_series(folder / "in", count=count, side=256)
    port, other = free_port(), free_port()
    (folder / "scp").mkdir()
    words = (program("storescp"), "-aet", "BRAINSIFT", "-od", folder / "scp", other)
    with process(*words), running_node(node_settings(folder / "n", port=port, quiet_s=3600)):
        until(lambda: listens(other))
        for name, where in (("storescp", other), ("node", port)):
            start = time.monotonic()
            send(where, *files)
            print(json.dumps({"receiver": name, "images_per_s": round(count / (time.monotonic() - start), 1)}))


def memory(folder: Path, series: int = 500) -> None:
    """Prints the node's memory after every tenth of the series, six slices each."""
    with beside(folder, quiet_s=0.2) as (_, config, port), running_node(config) as node:
        for number in range(1, series + 1):
            files = write_series(folder / "in", seed=number % 7 + 1, count=6, series=f"1.2.3.{number}")
            send(port, *files)
            if number % max(1, series // 10) == 0:
                until(lambda: journal_of(config).counts().get("delivered", 0) == number, seconds=900)  # noqa: B023
                status = Path(f"/proc/{node.pid}/status").read_text()
                resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
                print(json.dumps({"series": number, "resident_mb": int(resident) // 1024}), flush=True)


def kill(folder: Path, times: int = 50, seed: int = 0) -> None:
    """Kills the node at random moments while it receives, scores and sends; prints what came of each round."""
    generator = random.Random(seed)
    files = write_series(folder / "in", count=6)
    sets = []
    for number in range(times):
        wait_s = generator.choice((0.3, 3, 10)) * generator.random()  # while it receives, scores or sends
        sets.append(killed_once(folder / f"round{number}", files, wait_s=wait_s))
        print(json.dumps(sets[-1]), flush=True)
        shutil.rmtree(folder / f"round{number}")
    print(json.dumps({"rounds": times, "rounds_with_one_set": [one["versions"] for one in sets].count(1)}))


def killed_once(folder: Path, files: list[Path], *, wait_s: float) -> dict[str, object]:
    """Runs a node that is killed once, and one that goes on; checks that one set of results came of it.

    The bytes of each object in the archive are those that a node makes anew from the same journal. The history has the
    series as one case with all slices.

    Returns:
        The state in which it was killed, and the number of versions.
    """
    with beside(folder, quiet_s=2.0, keep='history = "history"\n') as (archive, config, port):
        sender = (program("dcmsend"), "-aec", "BRAINSIFT", "127.0.0.1", port, *files)
        with running_node(config) as node, process(*sender):
            time.sleep(wait_s)
            node.kill()
            node.wait()
        journal = journal_of(config)
        state = [one.state for one in journal.series()]
        with running_node(config):
            send(port, *files)  # an archive sends again what it got no reply for
            until(lambda: journal.counts() == {"delivered": 1}, seconds=120)
            time.sleep(1)
            (series,) = journal.series()
            (version,) = journal.versions(series.id)
            made = {path: path.read_bytes() for path in (folder / "n/node/results").rglob("*.dcm")}
            found = instances(archive)
        assert len(found) == len(made), "not one set of results"
        digests = {hashlib.sha256(_data_set(content)).hexdigest() for content in made.values()}
        assert digests == {hashlib.sha256(_data_set(_bytes(one))).hexdigest() for one in found.values()}
        # Made once more from the same journal, as if the process had been killed before they were published.
        with journal.writing() as connection:
            connection.execute("DELETE FROM deliveries")
            connection.execute("UPDATE versions SET files = '', reports = ''")
            connection.execute("UPDATE series SET state = 'scoring'")
        for path in made:
            path.unlink()
        with running_node(config):
            until(lambda: journal.counts() == {"delivered": 1}, seconds=120)
        again = {path: path.read_bytes() for path in (folder / "n/node/results").rglob("*.dcm")}
        assert again == made, "not the same bytes"
        history = History(folder / "n/history", keep_images=True)
        total, cases = history.search()
        assert [len(history.slices(case.id)) for case in cases] == [len(files)], f"{total} cases in the history"
        history.close()
        return {"killed_after_s": round(wait_s, 2), "state": state, "versions": version.number}


def interleaved(folder: Path, images: int = 5000, series: int = 5, seed: int = 0) -> dict[str, object]:
    """Sends two studies in random order over four associations at once, some images twice; checks what came of it.

    Each series has all its images, one version and, in the archive, one set of results that names all its images.

    Args:
        folder: for all files.
        images: of both studies together.
        series: of each study, of equal length.
        seed: of the order.

    Returns:
        What was sent, and the seconds until it was taken in and until its results were in the archive.
    """
    count = images // (2 * series)
    names = [(study, f"1.2.3.{study}.{number}") for study in range(2) for number in range(series)]
    written = {
        uid: write_series(folder / f"in-{uid}", seed=study + 1, count=count, study=f"1.2.3.{study}", series=uid)
        for study, uid in names
    }
    generator = random.Random(seed)
    files = [path for paths in written.values() for path in paths]
    generator.shuffle(files)
    twice = len(files) // 12
    parts = [files[place::4] for place in range(4)]
    parts = [part + parts[place - 1][: twice // 4] for place, part in enumerate(parts)]
    with beside(folder, quiet_s=2.0) as (archive, config, port), running_node(config):
        start = time.monotonic()
        with ExitStack() as stack:
            words = (program("dcmsend"), "-aec", "BRAINSIFT", "127.0.0.1", port)
            senders = [stack.enter_context(process(*words, *part)) for part in parts]
            assert [sender.wait(3600) for sender in senders] == [0, 0, 0, 0]
        received_s = time.monotonic() - start
        journal = journal_of(config)
        until(lambda: journal.counts() == {"delivered": len(written)}, seconds=3600, every=0.5)
        took_s = time.monotonic() - start
        time.sleep(3)  # nothing more comes
        for row in journal.series():
            known = {one.uid for one in journal.instances(row.id)}
            assert known == {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in written[row.uid]}
            assert [one.number for one in journal.versions(row.id)] == [1], "not one version"
        made = list((folder / "n/node/results").rglob("*.dcm"))
        found = instances(archive)
        assert len(found) == len(made), "not one set of results"
        reports = [_images_of(one) for one in found.values() if one.Modality == "SR"]
        assert sorted(reports) == sorted((uid, count) for uid in written), "not one report on all images of a series"
    return {
        "images": len(files),
        "sent": sum(map(len, parts)),
        "series": len(written),
        "objects": len(found),
        "received_s": round(received_s, 1),
        "all_results_s": round(took_s, 1),
    }


def _images_of(report: Any) -> tuple[str, int]:
    """Returns the SeriesInstanceUID of the source of a report, and how many of its images are evidence."""
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (listed,) = [
        one
        for one in study.ReferencedSeriesSequence
        if one.ReferencedSOPSequence[0].ReferencedSOPClassUID == MRImageStorage
    ]
    return listed.SeriesInstanceUID, len(listed.ReferencedSOPSequence)


def _bytes(dataset: Any) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def _data_set(content: bytes) -> bytes:
    """Returns the data set as text: an archive may write its encoding in another way, but says the same."""
    return json.dumps(dcmread(io.BytesIO(content)).to_json_dict(), sort_keys=True).encode()


def main() -> None:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("latency", "receive", "memory", "kill", "interleaved"))
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with loopback_only(), tempfile.TemporaryDirectory() as folder:
        if arguments.what == "latency":
            latency(Path(folder))
        elif arguments.what == "receive":
            receive(Path(folder))
        elif arguments.what == "memory":
            memory(Path(folder), arguments.series)
        elif arguments.what == "interleaved":
            print(json.dumps(interleaved(Path(folder), seed=arguments.seed)))
        else:
            kill(Path(folder), arguments.times, arguments.seed)


if __name__ == "__main__":
    main()
