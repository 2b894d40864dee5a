"""Scoring on Ray Data: the same tables as the local engine, byte for byte, also when a worker is killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from brainsift.batch import ray_engine
from brainsift.batch.ray_engine import Scoring
from brainsift.cli.main import main
from brainsift.core.errors import BundleError, InputError, MissingExtraError
from brainsift.images.phantom import draw

COPIES = 40


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Plain images, broken ones and two volumes, in folders."""
    root = tmp_path_factory.mktemp("scans")
    heads = [draw(seed, tumor=bool(seed % 2), size=128).pixels for seed in range(8)]
    for number, head in enumerate(heads):
        (root / f"{number}").mkdir()
        Image.fromarray(head).save(root / f"{number}" / "000.png")
        for copy in range(1, COPIES):
            shutil.copy(root / f"{number}" / "000.png", root / f"{number}" / f"{copy:03}.png")
    (root / "3" / "broken.png").write_bytes(b"\x89PNG not really")
    for name in ("2/scan.nii.gz", "7/scan.nii"):
        nibabel.Nifti1Image(np.stack(heads, axis=2).astype(np.int16), np.eye(4)).to_filename(root / name)
    return root


def command(scans, out, *flags):
    tables = ["--csv", str(out / "a.csv"), "--volumes", str(out / "v.csv"), "--json", str(out / "a.json")]
    return [sys.executable, "-m", "brainsift", "predict", str(scans), *tables, *flags]


def busy_workers(process, psutil):
    """Process ids of the workers of a run that score a chunk right now."""
    found = set()
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::MapWorker") and "submit" in title:
            found.add(child.pid)
    return found


@pytest.mark.slow
def test_a_killed_worker_loses_and_changes_nothing(scans, tmp_path):
    pytest.importorskip("ray", reason="needs ray: pip install 'brainsift[ray]'")
    import psutil  # it comes with ray

    (tmp_path / "local").mkdir()
    (tmp_path / "ray").mkdir()
    local = subprocess.run(command(scans, tmp_path / "local"), capture_output=True, text=True, check=False)
    process = subprocess.Popen(
        command(scans, tmp_path / "ray", "--engine", "ray", "--workers", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    busy = set()
    while process.poll() is None and not busy:
        busy = busy_workers(process, psutil)
        time.sleep(0.05)
    seen, killed = set(), max(busy, default=None)
    if killed:
        os.kill(killed, signal.SIGKILL)
    while process.poll() is None:
        seen |= busy_workers(process, psutil)
        time.sleep(0.1)
    said, noise = process.communicate()
    assert killed, noise
    assert local.returncode == process.returncode == 3, noise
    assert seen - {killed}, "no other worker went on"
    for name in ("a.csv", "v.csv", "a.json"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert len(json.loads((tmp_path / "ray" / "a.json").read_text())) == 8 * COPIES + 1 + 2 * 8
    assert said == local.stdout
    assert "ray" not in noise.lower().replace("research", ""), noise


@pytest.mark.slow
def test_relative_names_stay_as_given(scans, tmp_path):
    pytest.importorskip("ray", reason="needs ray: pip install 'brainsift[ray]'")
    work = tmp_path / "odd [1] folder"
    shutil.copytree(scans / "2", work / "more" / "2")
    image = work / "a\nb.png"
    shutil.copy(scans / "0" / "000.png", image)
    given = ["more", f"./{image.name}", "../odd [1] folder/more/2/001.png", str(image.absolute())]
    tables = []
    for engine in (["--threads", "1"], ["--engine", "ray", "--workers", "1"]):
        names = ["--csv", "a.csv", "--volumes", "v.csv", "--json", "a.json"]
        code = [sys.executable, "-m", "brainsift", "predict", *given, *names, *engine]
        subprocess.run(code, cwd=work, check=True, capture_output=True)
        tables.append([(work / name).read_bytes() for name in names[1::2]])
    assert tables[0] == tables[1]
    rows = json.loads((work / "a.json").read_text())
    assert {row["path"] for row in rows} >= {*given[1:], "more/2/000.png", "more/2/scan.nii.gz#1"}


def test_without_ray_the_extra_is_named(scans, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("brainsift.batch.predict_files.Predictor", None)  # workers alone load the network
    with pytest.raises(MissingExtraError, match=r"brainsift\[ray\]"):
        ray_engine._ray()
    assert main(["predict", str(scans), "--engine", "ray", "--csv", str(tmp_path / "a.csv")]) == 2
    assert "brainsift[ray]" in capsys.readouterr().err
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--engine", "ray", "--heatmaps", "maps"],
        ["--engine", "ray", "--report", "page.html"],
        ["--engine", "ray", "--threads", "2"],
        ["--engine", "ray", "--workers", "-1"],
        ["--threads", "2", "--workers", "2"],
        ["--address", "auto"],
    ],
)
def test_what_an_engine_does_not_know_is_refused(scans, flags, capsys):
    assert main(["predict", str(scans), *flags]) == 2
    assert f"predict: {flags[-2].removeprefix('--')}: " in capsys.readouterr().err


def test_a_machine_that_differs_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Scoring.here(threshold=None, max_error=None)
    assert here.predictor().threads == 1
    with pytest.raises(BundleError, match="every machine"):
        Scoring(None, "0", None, None, str(tmp_path)).predictor()
    with pytest.raises(BundleError, match=r"brainsift 0\.0\.0"):
        Scoring(None, here.digest, None, None, str(tmp_path), version="0.0.0").predictor()
    with pytest.raises(InputError, match="every machine has"):
        Scoring(None, here.digest, None, None, str(tmp_path / "none")).predictor()


@pytest.mark.slow
def test_ray_is_imported_only_when_asked_for(scans):
    image = next(Path(scans, "0").iterdir())
    code = (
        "import sys; from brainsift.cli.main import main; "
        f"main(['predict', {str(image)!r}]); sys.exit(bool({{'ray', 'pyarrow'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "localhost:{port}", "127.0.0.1:port"]
)
def test_an_address_where_nothing_answers_is_refused_at_once(address):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        port = held.getsockname()[1]
        with pytest.raises((OSError, ValueError)):
            ray_engine._check_answering(address.format(port=port))
        held.listen()
        ray_engine._check_answering(f"127.0.0.1:{port}")
    for known in ("", "auto", "local"):
        ray_engine._check_answering(known)


@pytest.mark.slow
def test_a_wrong_address_is_an_error_of_usage(scans, tmp_path, capsys):
    pytest.importorskip("ray", reason="needs ray: pip install 'brainsift[ray]'")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        csv = tmp_path / "a.csv"
        assert main(["predict", str(scans), "--engine", "ray", "--address", address, "--csv", str(csv)]) == 2
    assert f"no Ray cluster at '{address}'" in capsys.readouterr().err
    assert not csv.exists()
