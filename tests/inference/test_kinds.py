"""The kind of tumor: named where it is sure and a tumor is called, and never by a bundle without the model."""

import csv
import io
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import requests
from PIL import Image

from brainsift.batch.predict_files import predict_files
from brainsift.core.errors import BundleError
from brainsift.images.phantom import draw
from brainsift.inference.bundle import SHIPPED, load_bundle, write_bundle
from brainsift.inference.decision import KIND_COLUMNS, Prediction, Rule
from brainsift.inference.kinds import Kinds, KindScores
from brainsift.inference.predictor import Predictor

NAMES = ("glioma", "meningioma")
SCORES = KindScores({"glioma": 0.25, "meningioma": 0.75}, 0.7, 0.32)


def model(bias, *, limit=0.7):
    """A model that looks at no feature of the network that ships."""
    n_features = len(load_bundle().familiarity().mean)
    return Kinds(NAMES, np.zeros((n_features, 2), np.float32), np.array(bias, np.float32), limit, 0.32)


def bundle_with(folder, kinds):
    shutil.copytree(SHIPPED, folder)
    kinds.save(folder / "kinds.npz")
    write_bundle(replace(load_bundle(), folder=folder))
    return load_bundle(folder)


def test_probabilities_are_those_of_a_linear_model():
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(5, 3)).astype(np.float32), np.array([0.1, 0, -0.1], np.float32)
    features = random.normal(size=(7, 5)).astype(np.float32)
    found = Kinds(("a", "b", "c"), weights, bias, 0.5).probabilities(features)
    powers = np.exp(features.astype(float) @ weights + bias)
    assert np.allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)
    extreme = Kinds(("a", "b", "c"), 1000 * weights, bias, 0.5).probabilities(features)
    assert np.isfinite(extreme).all() and np.allclose(extreme.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("limit", "named"), [(0.7, "meningioma"), (0.75, "meningioma"), (0.76, "unsure"), (math.nan, "unsure")]
)
def test_below_the_limit_no_kind_is_named(limit, named):
    assert replace(SCORES, limit=limit).named == named


def test_the_words_say_how_often_it_is_right_elsewhere():
    assert (
        SCORES.words == "meningioma 0.75, for images like those of the training collections; on others 32% were right"
    )
    assert replace(SCORES, elsewhere=math.nan).words == "meningioma 0.75"
    assert replace(SCORES, limit=0.9).words == "kind not sure"


def test_a_kind_is_named_only_where_a_tumor_is_called():
    one = Prediction("a.png", "ok", 1.0, "tumor", kinds=SCORES)
    assert [one.to_dict()[name] for name in KIND_COLUMNS] == ["meningioma", 0.75, 0.32]
    for other in (one.decided(Rule(0.9)), one.decided(Rule(0.5, margin=2.0)), replace(one, kinds=None)):
        assert [other.to_dict()[name] for name in KIND_COLUMNS] == ["", None, None]
    assert one.decided(Rule(0.9)).decided(Rule(0.5)).kind == "meningioma"
    unsure = replace(one, kinds=replace(SCORES, limit=0.9))
    assert [unsure.to_dict()[name] for name in KIND_COLUMNS] == ["unsure", None, None]


def test_a_prediction_with_kinds_is_read_back_and_shown():
    one = Prediction("a.png", "ok", 1.0, "tumor", kinds=SCORES)
    assert Prediction.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert "kinds" not in replace(one, kinds=None).to_json()
    assert SCORES.words in one._repr_html_() and "kind" not in replace(one, kinds=None)._repr_html_()


def test_a_model_is_saved_whole(tmp_path):
    kinds = model([0, 2])
    kinds.save(tmp_path / "kinds.npz")
    found = Kinds.load(tmp_path / "kinds.npz")
    assert (found.names, found.limit, found.elsewhere) == (NAMES, 0.7, 0.32)
    assert (found.weights == kinds.weights).all() and (found.bias == kinds.bias).all()


def test_a_bundle_names_kinds_only_with_the_model(tmp_path):
    picture = draw(0, tumor=True).pixels
    assert load_bundle().kinds() is None and Predictor(threads=1).score(picture).kinds is None
    found = Predictor(bundle_with(tmp_path / "sure", model([0, 2])), threads=1).score(picture)
    assert found.decision == "tumor" and found.kind == "meningioma"
    assert found.kinds.probabilities["meningioma"] == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-6)
    unsure = Predictor(bundle_with(tmp_path / "unsure", model([0, 0.1])), threads=1).score(picture)
    assert unsure.decision == "tumor" and unsure.kind == "unsure"
    assert unsure.probability == found.probability == Predictor(threads=1).score(picture).probability


def test_another_file_of_kinds_is_refused(tmp_path):
    bundle = bundle_with(tmp_path / "bundle", model([0, 2]))
    model([2, 0]).save(bundle.kinds_model)
    with pytest.raises(BundleError, match="altered"):
        load_bundle(bundle.folder)


def test_the_table_and_the_service_name_the_kind_at_the_end_of_a_row(tmp_path, serving):
    bundle = bundle_with(tmp_path / "bundle", model([0, 2]))
    files = []
    for place, tumor in enumerate((True, False)):
        stream = io.BytesIO()
        Image.fromarray(draw(0, tumor=tumor).pixels).save(stream, "PNG")
        (tmp_path / f"{place}.png").write_bytes(stream.getvalue())
        files.append(("files", (f"{place}.png", stream.getvalue())))
    table = tmp_path / "found.csv"
    predict_files([str(tmp_path / "0.png"), str(tmp_path / "1.png")], bundle=bundle, csv=table, threads=1)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["decision"] for row in rows] == ["tumor", "no_tumor"]
    assert [row["kind"] for row in rows] == ["meningioma", ""] and tuple(rows[0])[-3:] == KIND_COLUMNS
    assert [row["kind_probability"][:5] for row in rows] == ["0.880", ""]
    with serving(bundle) as running:
        answers = requests.post(f"{running.url}/api/v1/predict", files=files).json()["answers"]
        job = requests.post(f"{running.url}/api/v1/jobs", files=files).json()["id"]
        while requests.get(f"{running.url}/api/v1/jobs/{job}", params={"wait": 10}).json()["state"] != "done":
            pass
        listed = csv.DictReader(io.StringIO(requests.get(f"{running.url}/api/v1/jobs/{job}/result.csv").text))
        lines = list(listed)
    assert [one["kind"] for one in answers] == [line["kind"] for line in lines] == ["meningioma", ""]
    assert [one["kind_accuracy"] for one in answers] == [0.32, None] and set(KIND_COLUMNS) < set(lines[0])
