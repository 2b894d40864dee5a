"""Bundle and prediction: the exported network answers as torch does, without torch, and refuses what it should."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import nibabel
import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

from brainsift.cli.main import main
from brainsift.core.errors import BundleError, InputError, RunError, UsageError
from brainsift.deployment.export import export_run
from brainsift.evaluation.calibrated_run import calibrated_predictions
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle, write_bundle
from brainsift.inference.decision import COLUMNS, make_rule
from brainsift.inference.predictor import Predictor
from brainsift.training.recipes import make_config
from brainsift.training.train import train
from brainsift.volumes.inputs import find_images


def test_onnx_answers_as_torch_does(small_run, bundle_folder):
    expected = calibrated_predictions(small_run)
    answers = list(Predictor(load_bundle(bundle_folder), threads=1).predict(expected["path"]))
    assert [answer.path for answer in answers] == list(expected["path"])
    # Large weights are stored in float16.
    assert np.allclose([answer.probability for answer in answers], expected["probability"], atol=1e-3)


def test_large_weights_are_stored_in_half_the_bytes_and_answer_the_same(bundle_folder, tmp_path):
    network = onnx.load(bundle_folder / "network.onnx")
    sizes = {}
    for place, tensor in enumerate(network.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        sizes.setdefault(values.dtype.name, []).append(values.size)
        if values.dtype == np.float16:
            network.graph.initializer[place].CopyFrom(
                onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name.removesuffix("_float16"))
            )
    assert sum(sizes["float16"]) > sum(sizes["float32"]) and max(sizes["float32"]) < min(sizes["float16"])
    casts = [node for node in network.graph.node if node.name.endswith("_float16_cast")]
    assert len(casts) == len(sizes["float16"])
    for node in casts:
        network.graph.node.remove(node)
    onnx.save(network, tmp_path / "network.onnx")
    assert (bundle_folder / "network.onnx").stat().st_size < 0.7 * (tmp_path / "network.onnx").stat().st_size
    write_bundle(replace(load_bundle(bundle_folder), folder=tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    plain, halved = (Predictor(load_bundle(folder), threads=1) for folder in (tmp_path, bundle_folder))
    np.testing.assert_array_equal(halved.probabilities(pixels), plain.probabilities(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["baseline-cnn", "mobilenet", "resnet50"])
def test_every_network_can_be_exported(parted, tmp_path, model):
    config = make_config(model, size=48, batch_size=16, threads=1, precision="fp32", epochs=1, weights="none")
    train(parted, config, tmp_path / "run", cache=tmp_path / "cache")
    evaluate_run(tmp_path / "run")
    bundle = export_run(tmp_path / "run", tmp_path / "bundle")
    expected = calibrated_predictions(tmp_path / "run").iloc[:5]
    answers = list(Predictor(bundle, threads=1).predict(expected["path"]))
    assert np.allclose([answer.probability for answer in answers], expected["probability"], atol=1e-3)


def test_altered_and_foreign_bundles_are_refused(bundle_folder, tmp_path):
    values = json.loads((bundle_folder / "bundle.json").read_text())
    (tmp_path / "network.onnx").write_bytes((bundle_folder / "network.onnx").read_bytes() + b"x")
    (tmp_path / "bundle.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match="checksum"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(json.dumps({**values, "intensity": 999}))
    with pytest.raises(BundleError, match="another version: intensity is 999"):
        load_bundle(tmp_path)
    for broken in ([1, 2], {name: value for name, value in values.items() if name != "temperature"}):
        (tmp_path / "bundle.json").write_text(json.dumps(broken))
        with pytest.raises(BundleError, match=r"lacks .*temperature|no JSON object"):
            load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(json.dumps(values)[:40])
    with pytest.raises(InputError, match="no valid JSON"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        load_bundle(tmp_path / "none")


def test_export_needs_a_finished_run(tmp_path):
    with pytest.raises(RunError, match="no finished run"):
        export_run(tmp_path, tmp_path / "bundle")


def test_broken_files_are_reported_and_the_rest_is_scored(parted, bundle_folder, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG not really")
    good = list(parted["path"].iloc[:40])
    answers = list(Predictor(load_bundle(bundle_folder), threads=1).predict([*good[:35], broken, *good[35:]]))
    assert [answer.status for answer in answers].count("ok") == 40
    assert answers[35].status == "unreadable" and answers[35].probability is None and answers[35].decision == ""
    assert answers[35].detail


def test_folders_are_walked_and_wrong_paths_named(phantoms, tmp_path):
    found = list(find_images([phantoms / "tumor"]))
    assert found == sorted(found) and found
    with pytest.raises(InputError, match="does not exist"):
        list(find_images([tmp_path / "nowhere"]))
    with pytest.raises(InputError, match="holds no image"):
        list(find_images([tmp_path]))


def test_patterns_are_matched_and_named_where_nothing_matches(phantoms, tmp_path):
    walked = list(find_images([phantoms / "tumor"]))
    assert list(find_images([phantoms / "tum*" / "*"])) == walked
    assert set(walked) < set(find_images([phantoms / "**" / "*.*g"]))
    with pytest.raises(InputError, match="matches no file"):
        find_images([tmp_path / "*.png"])


def test_a_list_comes_from_standard_input(bundle_folder, phantoms, tmp_path, monkeypatch):
    files = list(find_images([phantoms / "tumor"]))[:3]
    lines = [*files, "", str(tmp_path / "gone.png"), ""]
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeff" + "\r\n".join(lines)))  # as Windows writes it
    table = tmp_path / "answers.csv"
    assert main(["predict", "--bundle", str(bundle_folder), "-", "--csv", str(table)]) == 3
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["path"] for row in rows] == [*files, str(tmp_path / "gone.png")]
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "unreadable"]


def test_command_writes_tables_and_exits_with_3_on_unreadable_files(bundle_folder, phantoms, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    arguments = ["predict", "--bundle", str(bundle_folder), "--threads", "1", str(phantoms / "tumor")]
    assert main([*arguments, "--csv", str(tmp_path / "answers.csv")]) == 0
    assert main([*arguments, str(tmp_path / "broken.jpg"), "--json", str(tmp_path / "answers.json")]) == 3
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    assert {row["decision"] for row in rows} <= {"tumor", "no_tumor"}
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert len(answers) == len(rows) + 1
    assert "Research use only" in capsys.readouterr().err


def test_predictions_are_scored_against_a_manifest(bundle_folder, phantoms, tmp_path, capsys):
    assert (
        main(
            [
                "predict",
                "--bundle",
                str(bundle_folder),
                str(phantoms / "tumor"),
                str(phantoms / "no_tumor"),
                "--csv",
                str(tmp_path / "a.csv"),
            ]
        )
        == 0
    )
    arguments = ["evaluate", "--predictions", str(tmp_path / "a.csv"), "--manifest", str(phantoms / "phantoms.csv")]
    assert main([*arguments, "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["n"] == len(pd.read_csv(tmp_path / "a.csv")) and 0 <= scores["scores"]["accuracy"]["value"] <= 1


def test_prediction_imports_no_torch(bundle_folder, phantoms):
    image = next((phantoms / "tumor").iterdir())
    code = (
        "import sys; from brainsift.cli.main import main; "
        f"code = main(['predict', '--bundle', {str(bundle_folder)!r}, {str(image)!r}]); "
        "heavy = {'torch', 'pandas', 'sklearn', 'matplotlib', 'cv2', 'transformers', 'scipy'} & set(sys.modules); "
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_bundle_is_adapted_to_a_site(bundle_folder, phantoms, tmp_path, capsys):
    assert main(["calibrate", "--bundle", str(bundle_folder), "--data", str(phantoms), "-o", str(tmp_path / "b")]) == 0
    assert "Temperature" in capsys.readouterr().out
    assert load_bundle(tmp_path / "b").provenance["site"]["n"] > 20


def test_arrays_pictures_and_files_get_the_same_answer(bundle_folder, phantoms):
    predictor = Predictor(load_bundle(bundle_folder), threads=1)
    path = next(path for path in sorted((phantoms / "tumor").iterdir()) if path.suffix == ".png")
    pixels = np.asarray(Image.open(path).convert("L"))
    answers = [predictor.score(one) for one in (path, str(path), path.read_bytes(), pixels, Image.fromarray(pixels))]
    assert len({answer.probability for answer in answers}) == 1
    assert answers[0].tumor_map.shape == (4, 4)
    assert predictor.score(np.zeros((4, 4, 4, 4))).status == "unreadable"


def test_whatever_holds_an_image_is_scored_and_anything_else_is_refused(bundle_folder, phantoms):
    predictor = Predictor(load_bundle(bundle_folder), threads=1)
    path = next(path for path in sorted((phantoms / "tumor").iterdir()) if path.suffix == ".png")
    content, pixels = path.read_bytes(), np.asarray(Image.open(path).convert("L"))
    tensor = pytest.importorskip("torch").from_numpy(pixels.copy())
    same = (bytearray(content), memoryview(content), np.ma.array(pixels), tensor)
    assert {predictor.score(one).probability for one in same} == {predictor.score(path).probability}
    for other in (None, pixels.tolist(), nibabel.Nifti1Image(pixels, np.eye(4))):
        with pytest.raises(UsageError, match=f"not {type(other).__name__}. Pass one slice"):
            predictor.score(other)


def test_pictures_in_memory_are_read_as_their_files(bundle_folder, tmp_path):
    predictor = Predictor(load_bundle(bundle_folder), threads=1)
    head = draw(5, tumor=True, size=96).pixels
    clear = np.dstack([head, head, head, np.full_like(head, 255)])
    clear[:20] = (255, 255, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {
        "wide.tiff": Image.fromarray(head.astype(np.int32) * 300),
        "float.tiff": Image.fromarray(head.astype(np.float32) / 7),
        "deep.png": Image.fromarray(head.astype(np.uint16) * 200),
        "clear.png": Image.fromarray(clear),
        "turned.png": Image.fromarray(head),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name, **({"exif": exif} if name == "turned.png" else {}))
        with Image.open(tmp_path / name) as opened:
            assert predictor.score(opened).probability == predictor.score(tmp_path / name).probability
    assert predictor.score(Image.new("L", (4, 4))).status == "unreadable"


def test_thresholds_by_name_and_by_sensitivity(bundle_folder):
    bundle = load_bundle(bundle_folder)
    assert Predictor(bundle, threshold="screening").threshold == bundle.thresholds["screening"]
    assert Predictor(bundle, threshold=0.6).threshold >= Predictor(bundle, threshold=0.99).threshold
    with pytest.raises(UsageError, match="sensitivity"):
        Predictor(bundle, threshold=0.0)
    with pytest.raises(UsageError, match="balanced, screening"):
        Predictor(bundle, threshold="magic")
    with pytest.raises(UsageError, match="sensitivity"):
        Predictor(bundle, threshold=0.9999)


def test_volumes_of_the_shipped_bundle_have_thresholds_of_their_own():
    bundle = load_bundle()
    own = bundle.volumes.thresholds
    assert make_rule(bundle).of_volumes.threshold == own["confirm"] != bundle.thresholds["confirm"]
    assert make_rule(bundle, threshold="balanced").of_volumes.threshold == own["balanced"]
    assert make_rule(bundle, max_error=float(min(bundle.margins, key=float))).of_volumes.threshold == 0.5


def test_a_bundle_without_a_volume_model_has_another_threshold_for_volumes_only_without_a_wish():
    bundle = replace(load_bundle(), volumes=None)
    named = {"balanced": 0.4, "even": 0.5}

    def threshold(thresholds=named, **wanted):
        return make_rule(replace(bundle, thresholds=thresholds), **wanted).of_volumes.threshold

    assert threshold({**named, "confirm": 0.9}) == 0.9
    assert threshold({**named, "confirm": 0.9}, threshold="balanced") == 0.4
    assert threshold({**named, "confirm": 0.9}, max_error=float(min(bundle.margins, key=float))) == 0.5
    assert threshold({**named, "confirm": 0.3}) == threshold() == 0.4
    assert make_rule(bundle, threshold=0.97).of_volumes.threshold == bundle.threshold(0.97)


def test_what_is_not_sure_enough_is_referred(bundle_folder, parted):
    bundle = load_bundle(bundle_folder)
    with pytest.raises(UsageError, match="cannot be promised"):
        Predictor(bundle, max_error=1e-6)
    promising = replace(bundle, margins={"0.05": {"margin": 1e9, "referred": 1.0}})
    answers = list(Predictor(promising, max_error=0.05, threads=1).predict(parted["path"].head(5)))
    assert {answer.decision for answer in answers} == {"refer"} and all(answer.detail for answer in answers)
    with pytest.raises(UsageError, match="even"):
        Predictor(promising, max_error=0.05, threshold=0.9)


@pytest.mark.slow
def test_heatmaps_are_written_for_readable_images(bundle_folder, phantoms, tmp_path):
    arguments = ["predict", "--bundle", str(bundle_folder), "--threads", "1", str(phantoms / "tumor")]
    assert main([*arguments, "--heatmaps", str(tmp_path / "maps"), "--csv", str(tmp_path / "a.csv")]) == 0
    assert len(list((tmp_path / "maps").glob("*.png"))) == len(list(find_images([phantoms / "tumor"])))


def test_the_network_names_no_file_of_the_machine_that_made_it(bundle_folder):
    content = (bundle_folder / "network.onnx").read_bytes()
    assert b".py" not in content and b"site-packages" not in content


def test_the_runtime_reports_to_nobody(bundle_folder, tmp_path):
    code = f"import brainsift.inference.predictor as p; p.Predictor(p.load_bundle(p.Path({str(bundle_folder)!r})))"
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment = {**kept, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []  # where it reports, it keeps a number for the session


def test_a_folder_or_one_name_says_what_to_use(bundle_folder, tmp_path):
    predictor = Predictor(load_bundle(bundle_folder), threads=1)
    assert "is a folder. Use `brainsift predict`, or `predict_files`" in predictor.score(tmp_path).detail
    with pytest.raises(UsageError, match="Use `predict_files` for a folder"):
        predictor.predict(str(tmp_path))
