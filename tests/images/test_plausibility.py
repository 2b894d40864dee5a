"""What cannot be judged is told apart, with a reason; drawn heads are not."""

import random
from itertools import pairwise
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brainsift.core.reasons import Reason
from brainsift.images.decode import decode, from_array
from brainsift.images.phantom import draw
from brainsift.images.plausibility import _deepest_valleys, _frame, foreign_reason, off_topic_reason
from brainsift.images.standard import standard
from brainsift.inference.familiarity import Familiarity


def _rejection(pixels):
    decoded = from_array(pixels)
    return foreign_reason(decoded, standard(decoded.grey(), 64))


def _reason(pixels):
    rejection = _rejection(pixels)
    return rejection and (rejection.code.value, rejection.words.split()[0])


def test_heads_pass():
    assert not any(_reason(draw(seed, tumor=seed % 2 == 0).pixels) for seed in range(12))


def test_blank_and_inverted_images_and_photographs_are_named():
    assert _reason(np.full((64, 64), 7, np.uint8)) == ("blank", "blank:")
    assert _reason(255 - draw(3, tumor=True).pixels) == ("inverted", "inverted:")
    y, x = np.mgrid[:96, :96]
    sky = np.stack([x, 255 - y * 2, np.full_like(x, 250)], axis=2).clip(0, 255).astype(np.uint8)
    assert _rejection(sky).code is Reason.COLORED and "colored" in _rejection(sky).words
    assert _reason(np.tile(draw(1, tumor=False).pixels, (1, 4))) == ("strip", "a")
    radiograph = np.full((64, 64), 200, np.uint8)
    radiograph[::2] = 140
    assert _rejection(radiograph).code is Reason.NO_BACKGROUND


def test_distances_are_those_of_mahalanobis(tmp_path):
    chance = np.random.default_rng(0)
    known = chance.normal(3, 2, (500, 4)).astype(np.float32)
    factor = np.linalg.cholesky(np.linalg.inv(np.cov(known.T))).astype(np.float32)
    familiarity = Familiarity(known.mean(axis=0), factor, 2.0)
    familiarity.save(tmp_path / "scope.npz")
    again = Familiarity.load(tmp_path / "scope.npz")
    assert again.limit == 2.0 and np.array_equal(again.factor, factor)
    assert (again.distances(known) ** 2).mean() == pytest.approx(1, rel=0.01)
    assert again.distances(known[:1] + 100)[0] > 40


def test_pillow_images_and_arrays_are_one_thing():
    pixels = draw(2, tumor=True).pixels
    assert np.array_equal(from_array(np.asarray(Image.fromarray(pixels))).pixels, pixels)


def _sheet(pictures, rows, columns, *, gap=0, filling=0, blank=0):
    """Pictures of one shape in rows and columns, as a light box shows them."""
    height, width = pictures[0].shape
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), filling, np.uint8)
    for place in range(rows * columns - blank):
        row, column = divmod(place, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = pictures[place % len(pictures)]
    return sheet


@pytest.mark.parametrize("grid", [(2, 2), (3, 3), (2, 3), (3, 2), (1, 2), (2, 1), (4, 5)])
def test_several_heads_in_one_picture_are_refused_as_one(grid):
    for seed in range(3):
        heads = [draw(seed + place, tumor=place == 1, size=128).pixels for place in range(3)]
        for gap, filling in ((0, 0), (4, 0), (4, 255)):
            rejection = _rejection(_sheet(heads, *grid, gap=gap, filling=filling))
            assert rejection is not None
            assert rejection.code == Reason.SEVERAL_IMAGES or grid == (4, 5)  # so full a sheet may count as inverted
    if grid[0] > 1 and grid[1] > 1:
        rejection = _rejection(_sheet(heads, *grid, blank=1))
        assert rejection is not None and rejection.code == Reason.SEVERAL_IMAGES


@pytest.mark.slow
@given(st.lists(st.integers(0, 64), min_size=64, max_size=64), st.integers(2, 7), st.integers(0, 30))
def test_valleys_that_are_too_high_for_a_sheet_are_passed_over_and_others_are_found(profile, period, low):
    profile = [level if place % (64 // period) > 2 else level * low // 64 for place, level in enumerate(profile)]
    deepest, n_parts = _all_valleys(profile)
    assert _deepest_valleys(profile) == (deepest, n_parts) or (deepest > 0.42 and _deepest_valleys(profile)[0] > 0.42)


def _all_valleys(profile):
    """The plainest way to look for them."""
    best = 1.0, 0
    for n_parts in range(2, 7):
        side = 64 / n_parts
        slack = max(1.0, 0.1 * side)
        edges = [part * side for part in range(n_parts + 1)]
        peaks = [max(profile[round(start) : round(stop)]) for start, stop in pairwise(edges)]
        if min(peaks) >= 0.2 * 64:
            valleys = [min(profile[floor(edge - slack) : ceil(edge + slack) + 1]) for edge in edges[1:-1]]
            deepest = max(low / min(beside) for low, beside in zip(valleys, pairwise(peaks), strict=True))
            best = min(best, (deepest, n_parts))
    return best


def test_a_head_beside_an_empty_half_is_one():
    head = draw(3, tumor=True, size=128).pixels
    assert _rejection(np.hstack([head, np.zeros_like(head)])) is None


def test_real_single_heads_pass_and_sheets_of_them_do_not(data):
    chance = random.Random(0)
    refused = found = 0
    for folder, count in {"br35h": 300, "lgg": 250, "cheng": 150, "kinds44": 200, "more": 200}.items():
        files = [path for path in sorted((data / folder).rglob("*.[jp][pn]*g")) if "masks" not in path.parts]
        for path in chance.sample(files, count):
            decoded = decode(path)
            rejection = off_topic_reason(decoded, _frame(decoded))
            refused += rejection is not None and rejection.code == Reason.SEVERAL_IMAGES
        for turn in range(20):
            heads = [Image.fromarray(decode(path).rgb()).convert("L") for path in chance.sample(files, 9)]
            sheet = _sheet(
                [np.asarray(head.resize((160, 160))) for head in heads], *((2, 2), (3, 3), (2, 3), (1, 2))[turn % 4]
            )
            rejection = off_topic_reason(from_array(sheet), _frame(from_array(sheet)))
            found += rejection is not None and rejection.code == Reason.SEVERAL_IMAGES
    assert refused <= 1 and found >= 95
