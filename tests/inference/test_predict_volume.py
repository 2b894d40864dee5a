"""One volume by its path: its slices, and its prediction with theirs."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import InputError, UsageError
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor, predict_volume
from brainsift.inference.volume_decision import VolumePrediction, summarise_volumes
from brainsift.volumes.reader import read_volume


def scan(path, count=6):
    stack = np.stack([draw(seed, tumor=bool(seed % 2), size=96).pixels for seed in range(count)], axis=2)
    nibabel.Nifti1Image(stack.astype(np.int16), np.eye(4)).to_filename(path)
    return path


def test_the_slices_of_a_volume_come_in_order(tmp_path):
    volume = read_volume(scan(tmp_path / "a.nii.gz"))
    assert volume.name == str(tmp_path / "a.nii.gz")
    assert [piece.name for piece in volume.slices] == [f"{tmp_path / 'a.nii.gz'}#{n}" for n in range(1, 7)]
    assert volume.slices[0].read().pixels.shape == (96, 96)


def test_a_volume_is_predicted_as_among_many(tmp_path):
    path, predictor = scan(tmp_path / "a.nii.gz"), Predictor(threads=1)
    slices = list(predictor.predict([path]))
    (expected,) = summarise_volumes(slices, predictor.rule)
    found = predict_volume(path, predictor=predictor)
    assert found == expected and list(found.slices) == slices
    assert predict_volume(str(path)) == expected
    again = VolumePrediction.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again == found and again.slices == found.slices and again.slices[0].tumor_map is None


def test_of_several_volumes_one_is_named(tmp_path):
    scan(tmp_path / "a.nii", 2)
    two = scan(tmp_path / "b.nii", 3)
    with pytest.raises(UsageError, match=r"holds 2 volumes\. Name one of them"):
        read_volume(tmp_path)
    with pytest.raises(UsageError, match="holds no volume 'c'"):
        read_volume(tmp_path, volume="c")
    assert len(read_volume(tmp_path, volume=str(two)).slices) == 3


def test_what_is_no_volume_is_refused(tmp_path):
    Image.fromarray(draw(0, tumor=True).pixels).save(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(InputError, match="holds no volume"):
            read_volume(path)
    with pytest.raises(InputError, match="does not exist"):
        read_volume(tmp_path / "gone.nii")
