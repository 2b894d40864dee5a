"""The images of a split as one file: another machine trains from it as this one would."""

from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from brainsift.cli.main import main
from brainsift.core.errors import InputError
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.images import standard
from brainsift.training.cache import cached_masks, cached_pixels
from brainsift.training.pack import pack, unpacked
from brainsift.training.train import train

SMALL = {"size": 32, "batch_size": 8, "threads": 1, "precision": "fp32", "epochs": 1}


@pytest.fixture(scope="module")
def used(parted):
    return parted[parted["part"] != ""].reset_index(drop=True)


@pytest.fixture(scope="module")
def packed(used, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "heads.zip"
    return path, pack(used, path, size=32, cache=path.parent / "cache")


def there(path, tmp_path, **settings):
    return unpacked(path, tmp_path / "there", **{"size": 32, "preprocessing": "standard", **settings})


def test_exact_pixels_and_masks_come_out_as_they_went_in(used, packed, tmp_path):
    path, found = packed
    assert found.is_exact and found.images == len(used) and found.masks == (used["mask"] != "").sum() > 0
    table = read_manifest(there(path, tmp_path))
    same = ["sha256", "label", "patient", "group", "part"]
    assert (table[same].to_numpy() == used[same].to_numpy()).all()
    for cached in (cached_pixels, cached_masks):
        before, rows = cached(used, path.parent / "cache", size=32, workers=1)
        after, places = cached(table, tmp_path / "there", size=32, workers=1)
        assert ((rows >= 0) == (places >= 0)).all()
        assert np.array_equal(before[rows[rows >= 0]], after[places[places >= 0]])


@pytest.mark.slow
def test_a_pack_trains_the_very_network_that_the_images_train(used, packed, tmp_path):
    here = train(used, "compact", tmp_path / "here" / "run", **SMALL)
    run = tmp_path / "there" / "run"
    words = ["--size", "32", "--batch-size", "8", "--threads", "1", "--precision", "fp32", "--epochs", "1"]
    assert main(["train", str(packed[0]), "-o", str(run), *words]) == 0
    assert (run / "weights.safetensors").read_bytes() == (here / "weights.safetensors").read_bytes()
    assert train(packed[0], "compact", run, **SMALL) == run  # goes on, and finds it finished
    assert main(["export", str(run), "-o", str(tmp_path / "bundle")]) == 0


def test_images_that_must_be_small_lose_little_and_get_another_name(used, packed, tmp_path):
    cache, side = packed[0].parent / "cache", 96
    exact = pack(used, tmp_path / "exact.zip", size=side, cache=cache)
    limit = (tmp_path / "exact.zip").stat().st_size * 0.8 / 1e6
    small = pack(used, tmp_path / "small.zip", size=side, most_mb=limit, cache=cache)
    assert exact.is_exact and not small.is_exact
    assert (tmp_path / "small.zip").stat().st_size < 1e6 * limit
    table = read_manifest(there(tmp_path / "small.zip", tmp_path, size=side))
    assert not set(table["sha256"]) & set(used["sha256"])  # so the exact ones in a cache are never taken for these
    before, rows = cached_pixels(used, cache, size=side, workers=1)
    after, places = cached_pixels(table, tmp_path / "there", size=side, workers=1)
    away = np.abs(before[rows].astype(float) - after[places])
    assert 0 < away.mean() < 6
    with pytest.raises(InputError, match="MB even at the lowest quality"):
        pack(used, tmp_path / "tiny.zip", size=side, most_mb=0.001, cache=cache)
    assert not (tmp_path / "tiny.zip").exists()


def test_another_size_preprocessing_or_version_is_refused(packed, tmp_path, monkeypatch):
    path, _ = packed
    for settings in ({"size": 64}, {"preprocessing": "baseline"}):
        with pytest.raises(InputError, match="Pack the images again"):
            there(path, tmp_path, **settings)
    manifest = there(path, tmp_path)
    with pytest.raises(InputError):  # and no second preparation of what is prepared, by the back door
        cached_pixels(read_manifest(manifest), tmp_path / "there", size=48, workers=1)
    monkeypatch.setattr(standard, "VERSION", standard.VERSION + 1)
    with pytest.raises(InputError, match="Pack the images again"):
        there(path, tmp_path)


def test_what_is_no_pack_is_refused_in_words(packed, used, tmp_path):
    with pytest.raises(InputError, match="does not end in"):
        pack(used, tmp_path / "pack.tar", size=32)
    with pytest.raises(InputError, match="no such file"):
        there(tmp_path / "none.zip", tmp_path)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InputError, match="is no whole pack"):
        there(tmp_path / "text.zip", tmp_path)
    with ZipFile(packed[0]) as archive, ZipFile(tmp_path / "half.zip", "w") as half:
        for one in archive.infolist()[: len(archive.infolist()) // 2]:
            half.writestr(one.filename, archive.read(one.filename))
        half.writestr("manifest.csv", archive.read("manifest.csv"))
    with pytest.raises(InputError, match="is no whole pack"):
        there(tmp_path / "half.zip", tmp_path)


def test_the_command_says_what_is_in_the_file(used, tmp_path, capsys):
    write_manifest(used, tmp_path / "split.csv")
    assert main(["pack", str(tmp_path / "split.csv"), "-o", str(tmp_path / "heads.zip"), "--size", "32"]) == 0
    said = capsys.readouterr().out
    assert f"{len(used)} images" in said and "exact pixels" in said
    with ZipFile(tmp_path / "heads.zip") as archive:
        content = archive.read("manifest.csv").decode()
        assert str(tmp_path) not in content and "images/000000.webp" in content
        assert Image.open(archive.open("images/000000.webp")).size == (32, 32)
