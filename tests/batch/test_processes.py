"""Worker processes give the predictions that threads give, and none of them outlives the command."""

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from brainsift.batch import processes
from brainsift.batch.processes import predict_in_processes
from brainsift.core.errors import BrainsiftError
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor
from brainsift.volumes.inputs import find_images

COPIES = 70  # of each image: more than a chunk holds


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Makes a folder with plain images, one broken image and one volume."""
    folder = tmp_path_factory.mktemp("scans")
    heads = [draw(seed, tumor=bool(seed % 2), size=96).pixels for seed in range(3)]
    for number, head in enumerate(heads):
        Image.fromarray(head).save(folder / f"{number}-000.png")
        for copy in range(1, COPIES):
            shutil.copy(folder / f"{number}-000.png", folder / f"{number}-{copy:03}.png")
    (folder / "1-999.png").write_bytes(b"\x89PNG not really")
    nibabel.Nifti1Image(np.stack(heads, axis=2).astype(np.int16), np.eye(4)).to_filename(folder / "2-scan.nii")
    return folder


def scored(scans, workers):
    """The predictions, and how many workers ran when the first one came."""
    found, running = [], []
    for one in predict_in_processes(map(str, find_images([scans])), Predictor, workers=workers):
        found.append(one)
        running = running or active_children()
    return found, len(running)


def expected(scans):
    return list(Predictor(threads=1).predict(find_images([scans])))


def test_workers_give_what_threads_give(scans, monkeypatch):
    monkeypatch.setattr(processes, "_FILES_PER_WORKER", 64)
    (found, n_workers), wanted = scored(scans, 2), expected(scans)
    assert n_workers == 2 and len(found) == 3 * COPIES + 1 + 3
    assert found == wanted
    for one, other in zip(found, wanted, strict=True):
        assert one.tumor_map is other.tumor_map is None or (one.tumor_map == other.tumor_map).all()


def test_few_files_need_no_worker(scans):
    found, n_workers = scored(scans, 2)
    assert n_workers == 0 and found == expected(scans)


def test_a_killed_worker_loses_and_changes_nothing(scans, monkeypatch):
    monkeypatch.setattr(processes, "_FILES_PER_WORKER", 64)
    monkeypatch.setattr(processes, "_AHEAD", 1)  # most chunks are not handed out yet
    found, killed = [], 0
    for one in predict_in_processes(map(str, find_images([scans])), Predictor, workers=2):
        found.append(one)
        for worker in () if killed else active_children():
            worker.kill()
            killed += 1
    assert killed == 2 and found == expected(scans)


def test_workers_that_cannot_start_say_so(scans, monkeypatch):
    monkeypatch.setattr(processes, "_FILES_PER_WORKER", 64)
    broken = partial(Predictor, threshold="magic")  # known to no bundle
    with pytest.raises(BrainsiftError, match="cannot start"):
        list(predict_in_processes(map(str, find_images([scans])), broken, workers=2))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, to find the workers of a command")
def test_no_worker_outlives_a_command_that_is_killed(scans, tmp_path):
    for number in range(2 * processes._FILES_PER_WORKER):
        os.link(scans / "0-000.png", tmp_path / f"{number}.png")
    code = [
        sys.executable,
        "-m",
        "brainsift",
        "predict",
        str(tmp_path),
        "--workers",
        "2",
        "--csv",
        str(tmp_path / "t.csv"),
    ]
    with subprocess.Popen(code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
        workers = set()
        while len(workers) < 2 and command.poll() is None:
            workers |= workers_of(command.pid)
        command.kill()
    assert len(workers) == 2
    until = time.monotonic() + 30
    while any(Path("/proc", str(pid)).exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path("/proc", str(pid)).exists()]
    assert not list(tmp_path.glob("t.csv*"))


def workers_of(pid):
    """The process ids of the workers of a process."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(pid) and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:  # it ended meanwhile
            continue
    return found
