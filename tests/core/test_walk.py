"""Folders to files: links are followed without end, what is hidden stays so, and no folder is dropped in silence."""

import os
from pathlib import Path

import pytest
from PIL import Image

from brainsift.core.errors import SourceError, UnreadableImageError
from brainsift.core.walk import IMAGE_SUFFIXES, is_image_name, walk
from brainsift.datasets.catalog import collect
from brainsift.images.decode import decode
from brainsift.inference.predictor import Predictor
from brainsift.volumes.inputs import find_images


@pytest.fixture
def tree(tmp_path):
    """A folder with what the walk has to tell apart."""
    for name in ("tumor/a.png", "tumor/b.txt", ".thumbs/a.png", "tumor/.b.png", "__MACOSX/c.png", "far/d.pgm"):
        path = tmp_path / ("out" if name.startswith("far") else "set") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "set" / "tumor" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "no").symlink_to(tmp_path / "out" / "far")
    return tmp_path / "set"


@pytest.fixture
def locked(tree, monkeypatch):
    """A folder of the tree that may not be read, not even by root."""
    scandir = os.scandir

    def refuse(place):
        if Path(place).name == "locked":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    (tree / "locked").mkdir()
    monkeypatch.setattr("os.scandir", refuse)
    return tree / "locked"


def test_links_are_followed_once_and_what_is_hidden_is_not_entered(tree):
    assert list(walk(tree, is_image_name)) == [tree / "no" / "d.pgm", tree / "tumor" / "a.png"]


def test_prediction_and_audit_find_the_same_images(tree):
    assert sorted(find_images([tree])) == sorted(collect([str(tree)])["path"])


def test_every_ending_is_of_a_format_that_is_decoded(tmp_path):
    for suffix in sorted(IMAGE_SUFFIXES):
        path = tmp_path / f"image{suffix}"
        Image.new("L" if suffix != ".ppm" else "RGB", (20, 16), 90).save(path)
        assert decode(path).pixels.shape[:2] == (16, 20)


def test_a_folder_that_may_not_be_read_is_answered_or_warned_of(locked, tree, caplog):
    assert str(locked) in find_images([tree])
    assert [answer.status for answer in Predictor(threads=1).predict(find_images([locked]))] == ["unreadable"]
    assert str(locked) not in set(collect([str(tree)])["path"])
    assert f"{str(locked)!r}: left out, this folder may not be read" in caplog.text
    with pytest.raises(SourceError, match="holds no image"):
        collect([str(locked)])


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("brainsift.images.decode.open", refuse, raising=False)
    with pytest.raises(UnreadableImageError, match=r"may not be read\. Check its permissions"):
        decode(tmp_path / "secret.png")


def test_a_pipe_holds_nobody_up(tree):
    os.mkfifo(tree / "tumor" / "pipe.png")
    os.mkfifo(tree / "pipe")
    assert tree / "tumor" / "pipe.png" not in set(walk(tree, is_image_name))
    assert list(find_images([tree])) == [str(tree / "no" / "d.pgm"), str(tree / "tumor" / "a.png")]
    (answer,) = Predictor(threads=1).predict([tree / "pipe"])
    assert answer.status == "unreadable" and "is a pipe" in answer.detail
