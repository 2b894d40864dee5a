"""The command line: exit codes, messages, help, and the whole way from a manifest to predictions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from brainsift import __version__
from brainsift.cli.main import COMMANDS, command_parser, main
from brainsift.core.files import read_json
from brainsift.datasets.catalog import collect
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.deployment import slimming
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle

TRAIN_ONLY = ("torch", "pandas", "sklearn", "scipy", "cv2", "matplotlib", "faiss", "optuna", "transformers", "onnx",
              "filelock", "joblib", "safetensors", "kagglehub")  # fmt: skip
SMALL = ["--size", "32", "--batch-size", "8", "--epochs", "1", "--threads", "1", "--precision", "fp32"]


@pytest.fixture(scope="module")
def manifest(audited, tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "manifest.csv"
    write_manifest(audited, path)
    return path


@pytest.fixture(scope="module")
def run(manifest):
    folder = manifest.parent / "run"
    assert main(["train", str(manifest), "-o", str(folder), "--folds", "4", "--fold", "1", *SMALL]) == 0
    return folder


@pytest.fixture(scope="module")
def image(phantoms):
    return str(min((phantoms / "tumor").iterdir()))


def refusal(capsys, *words):
    """Runs a command; returns its exit code and its one line on standard error."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"brainsift {words[0]}: ")
    return code, lines[0]


def test_what_a_file_says_cannot_steer_the_terminal(tmp_path, capsys, caplog, phantoms):
    table = tmp_path / "list.csv"
    image = min((phantoms / "tumor").iterdir())
    table.write_text("path,label\n\x1b[31mred\x07\u202egnp.png,1\n")
    code, said = refusal(capsys, "audit", table, "-o", tmp_path / "out")
    assert code == 3 and "[31mred" in said and not set(said) & set("\x1b\x07\u202e")
    table.write_text(f"path,label\n{image},1\n\x1b[31mred.png,1\n")
    collect([str(table)])
    assert "1 of 2 files are not there" in caplog.text and "\x1b" not in caplog.text


def test_help_lists_every_command_and_imports_nothing_heavy():
    script = (
        "import sys\nfrom brainsift.cli.main import main\ntry:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print('HEAVY', sorted({'torch', 'pandas', 'numpy', 'PIL', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for name, words in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert words in done.stdout


def test_every_file_of_commands_is_listed():
    from brainsift.cli import commands

    names = {path.stem for path in Path(commands.__path__[0]).glob("*.py")}
    assert {name for name in names if not name.startswith("_")} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_every_argument(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: brainsift {name} ")
    for action in command_parser(name)._actions:
        assert action.help
        assert all(flag in shown for flag in action.option_strings)


def test_the_module_and_the_version():
    command = [sys.executable, "-m", "brainsift", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"brainsift {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: COMMAND"),
        (["heal"], "invalid choice: 'heal'"),
        (["split", "m.csv"], "required: -o/--output"),
        (["split", "m.csv", "-o", "o.csv", "--colour"], "unrecognized arguments: --colour"),
        (["train", "m.csv", "-o", "run", "--epochs", "many"], "--epochs: invalid int value: 'many'"),
        (["split", "m.csv", "-o", "o.csv", "--protocol", "lucky"], "invalid choice: 'lucky'"),
    ],
)
def test_words_that_no_command_takes_exit_with_2(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_wrong_values_exit_with_2(manifest, tmp_path, capsys):
    out = tmp_path / "out"
    code, line = refusal(capsys, "split", manifest, "-o", out, "--folds", 1)
    assert (code, "folds: must be 2 or more, not 1" in line) == (2, True)
    code, line = refusal(capsys, "evaluate")
    assert (code, "need run folders, or --predictions with --manifest" in line) == (2, True)
    code, line = refusal(capsys, "fetch", "atlantis", "-o", out)
    assert (code, "'atlantis'" in line) == (2, True)
    code, line = refusal(capsys, "study", "--data", tmp_path, "-o", out, "--protocols", "lucky")
    assert (code, "['lucky']" in line) == (2, True)
    assert not out.exists()


def without_extras(code):
    """Runs code in a process that has the base install only."""
    script = f"import sys\nfor name in {TRAIN_ONLY!r}:\n    sys.modules[name] = None\n"
    script += f"from brainsift.cli.main import COMMANDS, main\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_command_has_help_in_the_base_install():
    code = "for name in COMMANDS:\n    try:\n        main([name, '--help'])\n"
    code += "    except SystemExit as end:\n        print(end.code)"
    done = without_extras(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["0"] * len(COMMANDS)
    assert "--learning-rate" in done.stdout and "--min-similarity" in done.stdout


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (["audit", "DIR", "-o", "out"], "pandas"),
        pytest.param(["train", "manifest.csv", "-o", "out"], "pandas", marks=pytest.mark.slow),
        pytest.param(["export", "run", "-o", "out"], "onnx", marks=pytest.mark.slow),
        pytest.param(["demo", "-o", "out"], "onnx", marks=pytest.mark.slow),
    ],
)
def test_a_missing_extra_exits_with_2_and_says_what_to_install(words, package):
    done = without_extras(f"sys.exit(main({words!r}))")
    assert done.returncode == 2
    assert done.stderr == (
        f"brainsift {words[0]}: {words[0]}: needs the package {package}, which is not installed. "
        "Run `pip install 'brainsift[train]'`, or `pip install '.[train]'` in the folder of the source.\n"
    )


def test_a_share_in_percent_is_told_as_that(phantoms, capsys):
    for flag in ("--sensitivity", "--max-error"):
        code, line = refusal(capsys, "predict", phantoms, flag, 97)
        assert (code, "must be a share from 0 to 1, not 97. Write 0.97, not 97." in line) == (2, True)


def test_labels_are_mapped_by_name(phantoms, tmp_path, capsys):
    for name, mapped in (("tumor", "atteint"), ("no_tumor", "sain")):
        place = tmp_path / "set" / mapped
        place.mkdir(parents=True)
        for path in sorted((phantoms / name).glob("*.*"))[:6]:
            (place / path.name).write_bytes(path.read_bytes())
    audit = ["audit", tmp_path / "set", "-o", tmp_path / "audit", "--no-probes", "--workers", 1]
    code, line = refusal(capsys, *audit)
    assert (code, "'atteint' (6 images), 'sain' (6 images)" in line, "--map 'atteint=1'" in line) == (3, True, True)
    code, line = refusal(capsys, *audit, "--map", "atteint=1", "--map", "sain")
    assert (code, "--map sain: is none of NAME=1, NAME=0 and NAME=skip" in line) == (2, True)
    assert main([str(word) for word in [*audit, "--map", "atteint=1", "--map", "sain=0"]]) == 0
    labels = read_manifest(tmp_path / "audit" / "manifest.csv").set_index("path")["label"]
    assert {Path(path).parent.name: label for path, label in labels.items()} == {"atteint": 1.0, "sain": 0.0}


@pytest.mark.slow
def test_a_folder_with_faults_is_audited_and_trained_on_what_is_whole(phantoms, tmp_path, capsys, caplog):
    data = tmp_path / "set"
    for name in ("tumor", "no_tumor"):
        shutil.copytree(phantoms / name, data / name)
    whole = sorted((data / "tumor").glob("*.png"))
    (data / "tumor" / "broken.png").write_bytes(whole[0].read_bytes()[:2000])
    (data / "no_tumor" / "empty.jpg").write_bytes(b"")
    (data / "no_tumor" / "copy of a tumor.png").write_bytes(whole[1].read_bytes())
    (data / "tumor" / "scan.nii.gz").write_bytes(b"voxels")
    first, second = (Image.fromarray(draw(900 + seed, tumor=False).pixels) for seed in range(2))
    first.save(data / "no_tumor" / "pages.tif", save_all=True, append_images=[second])
    audit = ["audit", data, "-o", tmp_path / "audit", "--no-probes", "--workers", 1]
    assert main([str(word) for word in audit]) == 0
    assert "1 files that are no images are left out, such as 'scan.nii.gz'" in caplog.text
    rows = read_manifest(tmp_path / "audit" / "manifest.csv")
    rows = rows.set_index(rows["path"].map(lambda path: Path(path).name))
    assert list(rows["status"][["broken.png", "empty.jpg"]]) == ["unreadable", "unreadable"]
    assert "several_pictures" in rows["flags"]["pages.tif"]
    assert all("conflict" in rows["flags"][name] for name in ("copy of a tumor.png", whole[1].name))
    assert main(["train", str(tmp_path / "audit" / "manifest.csv"), "-o", str(tmp_path / "run"), *SMALL]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 image is the first of several pictures in the file; the others are not used." in said
    used = {Path(path).name for path in read_manifest(tmp_path / "run" / "split.csv").query("part != ''")["path"]}
    assert "pages.tif" in used
    assert not used & {"broken.png", "empty.jpg", "copy of a tumor.png", whole[1].name, "scan.nii.gz"}


def test_bad_input_exits_with_3(manifest, tmp_path, capsys):
    out = tmp_path / "out"
    code, line = refusal(capsys, "audit", tmp_path / "nowhere", "-o", out)
    assert (code, "nowhere: no such folder or CSV file" in line) == (3, True)
    code, line = refusal(capsys, "split", tmp_path / "nowhere.csv", "-o", out)
    assert (code, "nowhere.csv: no such file" in line) == (3, True)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    code, line = refusal(capsys, "split", tmp_path / "binary.csv", "-o", out)
    assert (code, "binary.csv: is no CSV table" in line) == (3, True)
    code, line = refusal(capsys, "predict", "--bundle", tmp_path, "slice.png")
    assert (code, "holds no bundle.json" in line) == (3, True)
    code, line = refusal(capsys, "evaluate", "--predictions", tmp_path / "nowhere.csv", "--manifest", manifest)
    assert (code, "nowhere.csv: cannot be read: No such file" in line) == (3, True)
    assert not out.exists()


def test_a_manifest_that_was_not_audited_exits_with_3(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("path,source,label,part\na.png,s,1,train\nb.png,s,0,train\n")
    for command in ("train", "tune"):
        code, line = refusal(capsys, command, tmp_path / "mine.csv", "-o", tmp_path / "out")
        assert (code, "lacks the columns ['status', 'sha256', 'pixels_sha256', 'group']" in line) == (3, True)


def test_a_place_that_cannot_be_written_exits_with_3(manifest, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    code, line = refusal(capsys, "split", manifest, "-o", tmp_path / "file" / "split.csv")
    assert (code, "in the way" in line, str(tmp_path / "file") in line) == (3, False, True)


def test_predict_tells_what_it_cannot_write_before_it_scores(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("brainsift.batch.predict_files.load_bundle", lambda *_: pytest.fail("it went on"))
    for flag in ("--csv", "--json", "--volumes", "--report"):
        code, line = refusal(capsys, "predict", "slice.png", flag, tmp_path)
        assert (code, f"{tmp_path}: is a folder" in line) == (3, True)
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    code, line = refusal(capsys, "predict", "slice.png", "--report", tmp_path / "page.pdf")
    assert (code, "brainsift[pdf]" in line) == (2, True)


def test_a_table_can_go_to_standard_output(image):
    command = [sys.executable, "-m", "brainsift", "predict", image, "--csv", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("path,status,probability,decision,detail,volume,reason\n" + image)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_exits_with_3(image, capsys):
    code, line = refusal(capsys, "predict", image, "--json", "/dev/full")
    assert (code, "No space left on device. Make room" in line) == (3, True)


def test_fewer_threads_than_none_exit_with_2(phantoms, tmp_path, capsys):
    code, line = refusal(capsys, "predict", phantoms, "--threads", -1)
    assert (code, "threads: must be 0 or more, not -1" in line) == (2, True)
    code, line = refusal(capsys, "audit", phantoms, "-o", tmp_path / "out", "--workers", -1)
    assert (code, "workers: must be 0 or more, not -1" in line) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_no_network_exits_with_4(tmp_path, capsys, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    capsys.readouterr()
    assert main(["fetch", "br35h", "-o", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert "Kaggle cannot be reached" in said
    assert f"br35h={tmp_path / 'br35h'}" in said  # the way out


@pytest.mark.slow
def test_a_run_that_cannot_be_used_exits_with_5(manifest, run, tmp_path, capsys):
    code, line = refusal(capsys, "evaluate", tmp_path / "nowhere")
    assert (code, "config.json: no such file" in line) == (5, True)
    code, line = refusal(capsys, "export", tmp_path, "-o", tmp_path / "bundle")
    assert (code, "holds no finished run" in line) == (5, True)
    code, line = refusal(capsys, "explain", tmp_path)
    assert (code, "is no run folder" in line) == (5, True)
    capsys.readouterr()
    same_but_one = [*SMALL, "--folds", "4", "--fold", "1", "--learning-rate", "1"]
    assert main(["train", str(manifest), "-o", str(run), *same_but_one]) == 5
    assert "holds a run with other settings: learning_rate" in capsys.readouterr().err


def test_an_interruption_exits_with_130(manifest, tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("brainsift.datasets.manifest.write_manifest", interrupt)
    assert main(["split", str(manifest), "-o", str(tmp_path / "split.csv")]) == 130
    assert "brainsift split: interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_split_writes_parts_and_train_takes_them(manifest, tmp_path, capsys):
    out = tmp_path / "split.csv"
    code, line = refusal(capsys, "split", manifest, "-o", tmp_path / "split.xlsx")
    assert (code, "what is written is CSV" in line) == (2, True)
    assert main(["split", str(manifest), "-o", str(out), "--protocol", "random"]) == 0
    assert "Protocol random, LEAKY" in capsys.readouterr().out
    assert main(["split", str(out), "-o", str(out), "--protocol", "random"]) == 0
    assert "split.csv is split already; its subsets are made anew." in " ".join(capsys.readouterr().out.split())
    assert {"train", "validation", "test"} <= set(read_manifest(out)["part"])
    code, line = refusal(capsys, "train", out, "-o", tmp_path / "run", "--protocol", "grouped")
    assert (code, "protocol: " in line, "is split already" in line) == (2, True, True)
    assert main(["train", str(out), "-o", str(tmp_path / "run"), *SMALL]) == 0
    assert "LEAKY" in capsys.readouterr().out
    config = read_json(tmp_path / "run" / "config.json")
    assert config["protocol"] is None  # the file does not say how it was split
    trained_on = read_manifest(tmp_path / "run" / "split.csv")
    assert (
        trained_on["part"].value_counts().to_dict()
        == read_manifest(out)["part"].value_counts().drop("", errors="ignore").to_dict()
    )


@pytest.mark.slow
def test_train_records_its_split_and_settings(run):
    config = read_json(run / "config.json")
    assert (config["protocol"], config["fold"], config["epochs"], config["size"]) == ("grouped", 1, 1, 32)
    assert config["learning_rate"] == 1e-3  # the recipe's, where no flag was given
    assert read_json(run / "results.json")["test"]["n"] > 0


@pytest.mark.slow
def test_predictions_of_a_bundle_are_scored(audited, manifest, bundle_folder, tmp_path, capsys):
    paths = [path for path, status in zip(audited["path"], audited["status"], strict=True) if status == "ok"][:30]
    table = tmp_path / "answers.csv"
    assert main(["predict", "--bundle", str(bundle_folder), "--csv", str(table), *paths]) == 0
    assert list(pd.read_csv(table)["path"]) == paths
    scores = ["evaluate", "--predictions", str(table), "--manifest", str(manifest), "--json", str(tmp_path / "s.json")]
    assert main([*scores, "--bundle", str(bundle_folder)]) == 0
    assert "30 images scored" in capsys.readouterr().out
    found = read_json(tmp_path / "s.json")
    assert (found["n"], found["threshold_name"]) == (30, "balanced")
    assert found["threshold"] == load_bundle(bundle_folder).thresholds["balanced"]
    assert main([*scores, "--threshold", "0.25"]) == 0
    assert "threshold a number of your own (0.250)" in " ".join(capsys.readouterr().out.split())
    code, line = refusal(capsys, *scores, "--sensitivity", "0.999")
    assert code == 2 and "sensitivity" in line


def test_a_label_that_was_checked_is_corrected(phantoms, tmp_path, capsys):
    images = sorted((phantoms / "tumor").glob("*.*"))[:8] + sorted((phantoms / "no_tumor").glob("*.*"))[:8]
    table = pd.DataFrame({"path": map(str, images), "label": [1] * 8 + [0] * 8, "probability": [0.8] * 8 + [0.2] * 8})
    table.loc[0, "probability"] = 0.01
    write_manifest(table, tmp_path / "out_of_fold.csv")
    review = ["review", str(tmp_path / "out_of_fold.csv"), "-o", str(tmp_path / "review")]
    assert main(review) == 0
    assert "Doubtful labels: 1 of 16 images in 16 groups" in " ".join(capsys.readouterr().out.split())
    page = (tmp_path / "review" / "review.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 1 and "tumor, predicted 1.0 %" in page
    verdicts = tmp_path / "review" / "review.csv"
    rows = pd.read_csv(verdicts)
    rows.assign(verdict="no tumor").to_csv(verdicts, index=False)
    audit = ["audit", str(phantoms), "-o", str(tmp_path / "audit"), "--no-probes", "--workers", "1"]
    assert main([*audit, "--corrections", str(verdicts)]) == 0
    labels = read_manifest(tmp_path / "audit" / "manifest.csv").set_index("path")["label"]
    assert labels[str(images[0])] == 0 and labels[str(images[1])] == 1
    code, line = refusal(capsys, *review)
    assert (code, "holds verdicts, which a new review would delete" in line) == (2, True)
    code, line = refusal(capsys, "review", "-o", tmp_path / "review")
    assert (code, "need run folders" in line) == (2, True)


def test_predict_says_what_it_could_not_read_and_exits_with_3(image, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert main(["predict", image, str(tmp_path / "broken.png")]) == 3
    shown = capsys.readouterr()
    first, second = shown.out.splitlines()
    assert first.startswith(f"{image}\t")
    assert second.startswith(f"{tmp_path / 'broken.png'}\tunreadable\t")
    assert "Not a medical device." in shown.err


@pytest.mark.slow
def test_a_name_that_is_no_utf8_stops_nothing(phantoms, tmp_path):
    folder, name = tmp_path / "scans" / "tumor", os.fsdecode(b"M\xfcller.png")
    folder.mkdir(parents=True)
    first, *_ = sorted((phantoms / "tumor").glob("*.png"))
    (folder / name).write_bytes(first.read_bytes())
    (folder / os.fsdecode(b"gone\xfc.png")).symlink_to("nowhere")
    words = ["predict", str(folder)]
    table, entries, page = (tmp_path / one for one in ("a.csv", "a.json", "a.html"))
    assert main([*words, "--csv", str(table), "--json", str(entries), "--report", str(page)]) == 3
    assert Path(read_json(entries)[0]["path"]).name == name
    command = [sys.executable, "-m", "brainsift", "predict", "-"]
    named = os.fsencode(folder / name) + b"\n"
    done = subprocess.run(
        command, input=named, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.startswith(named[:-1] + b"\t")
    assert main(["audit", str(tmp_path / "scans"), "-o", str(tmp_path / "audit"), "--no-probes", "--workers", "1"]) == 0
    assert name in map(os.path.basename, read_manifest(tmp_path / "audit" / "manifest.csv")["path"])
    for one in (page, tmp_path / "audit" / "report.html"):
        assert "gone\\udcfc.png" in one.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_reader_that_went_away_is_no_failure(image):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "brainsift", "predict", image]
    # Unbuffered, there would be nothing left for Python's own flush at exit.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=buffered)
    os.close(writing)
    assert done.returncode == 0
    assert "BrokenPipe" not in done.stderr


@pytest.mark.slow
def test_two_runs_are_compared(manifest, run, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["train", str(manifest), "-o", str(other), "--folds", "4", "--fold", "1", "--seed", "0", *SMALL]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), str(other)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}, threshold balanced (" in " ".join(shown.split())
    assert read_json(run / "results.json")["threshold_name"] == "balanced"
    assert "minus" in shown and "test images, in" in shown
    assert "DeLong" in shown


@pytest.mark.slow
def test_tune_searches_and_writes_its_page(manifest, tmp_path, capsys):
    small = ["--size", "32", "--batch-size", "8", "--threads", "1", "--precision", "fp32"]
    words = ["tune", str(manifest), "-o", str(tmp_path), "--trials", "1", "--trial-epochs", "1", *small]
    assert main([*words, "--search", "dropout"]) == 0
    assert "Best of 1 trials of compact" in capsys.readouterr().out
    assert read_json(tmp_path / "tuning.json")["trials"][0]["dropout"] == 0.2
    assert (tmp_path / "report.html").stat().st_size > 1000


@pytest.mark.slow
def test_cross_fitting_scores_every_image_once_by_a_network_that_has_not_seen_it(phantoms, tmp_path, capsys):
    folder = tmp_path / "crossfit"
    words = ["release", "--data", f"phantom={phantoms}", "-o", str(folder), "--epoch-images", "64", *SMALL]
    assert main([*words, "--folds", "2", "--fold", "0"]) == 0
    assert "Not all folds are there yet" in capsys.readouterr().out
    assert not (folder / "out_of_fold.csv").exists()
    before = (folder / "fold-0-of-2" / "weights.safetensors").stat().st_mtime_ns
    for fold in ("1", "0"):  # the second time fold 0 is there
        assert main([*words, "--folds", "2", "--fold", fold]) == 0
    assert (folder / "fold-0-of-2" / "weights.safetensors").stat().st_mtime_ns == before
    assert "out of fold" in capsys.readouterr().out
    splits = [read_manifest(folder / f"fold-{number}-of-2" / "split.csv") for number in (0, 1)]
    for table in splits:
        assert set(table["part"]) == {"train", "validation"}  # every image teaches or is scored
        assert not set(table["group"][table["part"] == "train"]) & set(table["group"][table["part"] == "validation"])
    pooled = read_manifest(folder / "out_of_fold.csv")
    assert sorted(pooled["path"]) == sorted(splits[0]["path"])
    for run, rows in pooled.groupby("run"):
        table = splits[int(run[5])]
        assert set(rows["path"]) == set(table["path"][table["part"] == "validation"])
    found = read_json(folder / "cross_fit.json")["out_of_fold"]
    assert found["runs"] == ["fold-0-of-2", "fold-1-of-2"] and found["scores"]["n"] == len(pooled)


@pytest.mark.slow
def test_sources_left_out_choose_temperature_and_thresholds(phantoms, tmp_path, capsys):
    table = collect([f"phantom={phantoms}"])
    table["source"] = ["a" if place // 24 % 2 else "b" for place in range(len(table))]
    write_manifest(table, tmp_path / "mine.csv")
    words = ["release", "--data", str(tmp_path / "mine.csv"), "-o", str(tmp_path / "out"), "--epoch-images", "64"]
    for source in ("a", "b"):
        assert main([*words, *SMALL, "--hold-out", source]) == 0
    rows = read_manifest(tmp_path / "out" / "left_out.csv")
    assert {(run, source) for run, source in zip(rows["run"], rows["source"], strict=True)} == {
        ("without-a", "a"),
        ("without-b", "b"),
    }
    found = read_json(tmp_path / "out" / "cross_fit.json")["left_out"]
    assert set(found["thresholds"]) == {"balanced", "screening", "confirm"} and found["temperature"] > 0
    assert main([*words, *SMALL, "--hold-out", "a", "--fold", "1"]) == 2
    assert "not both" in capsys.readouterr().err


@pytest.mark.slow
def test_a_release_is_pruned_and_turned_into_int8(phantoms, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "release"
    words = ["release", "--data", f"phantom={phantoms}", "-o", str(folder), "--epoch-images", "64", *SMALL, "--prune"]
    assert main(words) == 5
    assert "needs at least 512 training images to be pruned" in capsys.readouterr().err
    assert not (folder / "run").exists()  # it says so before it trains
    monkeypatch.setattr(slimming, "_IMAGES", 16)
    assert main([*words, "--int8"]) == 0
    assert load_bundle(folder / "bundle").name == "lite0-slim"
    capsys.readouterr()
    assert main(["card", str(folder / "bundle")]) == 0
    assert "pruned without training from lite0 " in capsys.readouterr().out
    cache = ["--cache", str(folder / "cache")]
    assert main(["prune", str(folder / "run"), "-o", str(tmp_path / "slim"), *cache]) == 0
    assert (tmp_path / "slim" / "weights.safetensors").is_file()
    assert main(["prune", str(folder / "run-slim-int8"), "-o", str(tmp_path / "slim"), *cache]) == 5
    assert "holds a run that is not" in capsys.readouterr().err
    assert main([*words, "--folds", "2", "--fold", "0"]) == 2


@pytest.mark.slow
def test_a_refit_trains_on_the_test_set_once_it_is_measured(phantoms, tmp_path, capsys):
    folder = tmp_path / "release"
    words = ["release", "--data", f"phantom={phantoms}", "-o", str(folder), "--epoch-images", "64", *SMALL]
    assert main([*words, "--refit"]) == 0
    first, second = (read_manifest(folder / name / "split.csv") for name in ("run", "run-all"))
    assert set(second["part"]) == {"train", "validation"}
    tested = first["part"] == "test"
    assert (second["part"][tested] == "train").all() and (second["part"][~tested] == first["part"][~tested]).all()
    cache = ["--cache", str(folder / "cache")]
    both = load_bundle(folder / "bundle").facts
    assert sum(row.images for row in both.data if row.part == "train") > len(first) / 2
    assert main(["export", str(folder / "run"), "-o", str(tmp_path / "alone"), *cache]) == 0
    alone = load_bundle(tmp_path / "alone").facts
    assert both.figures and both.figures == alone.figures and both.test == alone.test and both.maps == alone.maps
    assert both.measured.startswith("lite0") and not alone.measured
    capsys.readouterr()
    assert main(["card", str(folder / "bundle")]) == 0
    assert "which never saw these groups" in capsys.readouterr().out
    # A run without a test set has no figures to lend; nor has one whose test set chose thresholds here.
    wrong = ["export", str(folder / "run"), "-o", str(tmp_path / "wrong"), *cache, "--measured"]
    assert main([*wrong, str(folder / "run-all")]) == 5
    assert "has no test set" in capsys.readouterr().err
    shutil.copytree(folder / "run", tmp_path / "swapped")
    swapped = {"test": "validation", "validation": "test"}
    for name in ("split.csv", "predictions.csv"):
        table = read_manifest(folder / "run" / name)
        write_manifest(table.assign(part=table["part"].replace(swapped)), tmp_path / "swapped" / name)
    assert main([*wrong, str(tmp_path / "swapped")]) == 5
    assert "images that chose something here" in capsys.readouterr().err


@pytest.mark.slow
def test_a_release_is_one_command_and_goes_on_where_it_was(phantoms, tmp_path, capsys):
    import torch

    from brainsift.training import networks, pretrained

    folder = tmp_path / "release"
    words = ["release", "--data", f"phantom={phantoms}", "-o", str(folder), "--epoch-images", "64", *SMALL]
    assert main(words) == 0
    bundle = load_bundle(folder / "bundle")
    figures = bundle.provenance["figures"]
    assert {row["part"] for row in figures} == {"test"} and sum(row["n"] for row in figures) > 10
    assert bundle.provenance["maps"] and bundle.provenance["config"]["recipe"] == "release"
    further = networks.build(bundle.name, size=bundle.size)
    images = torch.rand(4, 1, bundle.size, bundle.size)
    assert "an exported network" in pretrained.load(further, bundle.name, str(bundle.network), images)
    weights = folder / "run" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    assert main(words) == 0
    assert weights.stat().st_mtime_ns == before
    capsys.readouterr()
    assert main(["card", str(folder / "bundle")]) == 0
    assert "## Performance" in capsys.readouterr().out
