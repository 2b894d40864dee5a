"""Results show themselves in a notebook: picture, graph and table, and no text of others is markup."""

import re
from xml.etree import ElementTree as ET

import nibabel
import numpy as np
import pytest
from PIL import Image

from brainsift.core.reasons import Reason
from brainsift.images.phantom import draw
from brainsift.inference.decision import Prediction
from brainsift.inference.predictor import Predictor, predict_volume


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=1)


def test_a_prediction_shows_its_image_with_the_map_and_a_table(predictor, tmp_path):
    Image.fromarray(draw(0, tumor=True).pixels).save(tmp_path / "head.png")
    shown = predictor.score(tmp_path / "head.png")._repr_html_()
    assert shown.count("data:image/jpeg;base64,") == 1 and ">tumor<" in shown and "Research use only" in shown
    assert not re.search(r'(src|href)="https?:', shown)


def test_without_its_file_a_prediction_is_a_table(predictor):
    shown = predictor.score(draw(0, tumor=True).pixels, name="in memory")._repr_html_()
    assert "<img" not in shown and ">in memory<" in shown


def test_names_and_words_are_text_and_not_markup(tmp_path):
    name = tmp_path / "<b onload='x'>&.png"
    Image.fromarray(draw(1, tumor=False).pixels).save(name)
    one = Prediction(str(name), "unreadable", None, "", Reason.BROKEN_FILE, '<script>alert("1")</script>')
    shown = one._repr_html_()
    assert "<b " not in shown and "<script" not in shown and "&lt;script&gt;" in shown
    assert "src=" in shown  # and the image has no map


def test_a_volume_shows_suspicious_slices_and_a_graph_of_all(predictor, tmp_path):
    stack = np.stack([draw(seed, tumor=True).pixels for seed in range(5)], axis=2).astype(np.int16)
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(tmp_path / "scan.nii")
    volume = predict_volume(tmp_path / "scan.nii", predictor=predictor)
    shown = volume._repr_html_()
    assert shown.count("<img") == len(volume.suspicious) > 0
    graph = ET.fromstring(re.search(r"<svg.*</svg>", shown)[0])
    assert len(graph.findall("rect")) == volume.n_scored and len(graph.findall("line")) == 1
