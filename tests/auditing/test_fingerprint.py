"""Sketches: what copies agree in, and what turning does to vectors."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brainsift.auditing.fingerprint import (
    ORIENTATIONS,
    SIDE,
    descriptors,
    equalised,
    sketch,
    turned,
    turned_box,
    turned_descriptors,
)
from brainsift.images.phantom import draw

views = arrays(np.uint8, (SIDE, SIDE))
orientations = st.integers(0, ORIENTATIONS - 1)
greys = arrays(
    st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(16, 90), st.integers(16, 90)), fill=st.just(0)
)


def head(seed=1, size=192):
    return draw(seed, tumor=True, size=size).pixels


def cosine(first, second):
    vectors = descriptors(np.stack([first, second]))
    return float(vectors[0] @ vectors[1])


@settings(max_examples=30)
@given(grey=greys)
def test_any_image_gives_two_views_and_a_box(grey):
    drawn = sketch(grey)
    assert drawn.frame.shape == drawn.head.shape == (SIDE, SIDE)
    assert drawn.frame.dtype == drawn.head.dtype == np.uint8
    assert drawn.box.dtype == np.float32 and np.isfinite(drawn.box).all()
    assert drawn.box[0] < drawn.box[1] and drawn.box[2] < drawn.box[3]


def test_the_box_follows_the_head():
    canvas = np.zeros((200, 400), np.uint8)
    canvas[50:150, 280:380] = cv2.resize(head(), (100, 100), interpolation=cv2.INTER_AREA)
    top, bottom, left, right = sketch(canvas).box
    assert 0.2 < top < 0.4 and 0.6 < bottom < 0.8
    assert 0.65 < left < 0.8 and 0.85 < right < 1.0


def test_blank_image_covers_the_frame_and_has_no_direction():
    drawn = sketch(np.zeros((40, 60), np.uint8))
    assert not drawn.frame.any() and not drawn.head.any()
    assert drawn.box[0] <= 0 and drawn.box[1] >= 1
    assert not descriptors(drawn.frame[None]).any()


def test_sixteen_bits_show_the_same():
    eight = head()
    sixteen = eight.astype(np.uint16) * 37
    assert cosine(sketch(eight).frame, sketch(sixteen).frame) > 0.999


def test_head_view_survives_padding_and_cropping():
    whole = np.where(head() > 30, head(), 0).astype(np.uint8)
    padded = np.pad(whole, ((40, 10), (0, 70)))
    rows = slice(8, -8)
    for copy in (padded, np.ascontiguousarray(whole[rows, rows])):
        assert cosine(sketch(whole).head, sketch(copy).head) > 0.95
    assert cosine(sketch(whole).frame, sketch(padded).frame) < 0.8


@pytest.mark.parametrize("power", [0.5, 0.8, 1.7])
def test_contrast_drops_out(power):
    grey = head()
    other = np.rint(255 * (grey / 255) ** power).astype(np.uint8)
    assert cosine(sketch(grey).frame, sketch(other).frame) > 0.98


def test_other_heads_are_farther_than_copies():
    shown = [sketch(head(seed)).head for seed in range(12)]
    copies = [sketch(cv2.resize(head(seed), (96, 96), interpolation=cv2.INTER_AREA)).head for seed in range(12)]
    table = descriptors(np.stack(shown)) @ descriptors(np.stack(copies)).T
    assert (table.argmax(axis=1) == np.arange(12)).all()
    assert table.diagonal().min() > 0.98


@settings(max_examples=30)
@given(view=views, orientation=orientations)
def test_turning_vectors_is_turning_views(view, orientation):
    direct = descriptors(turned(view, orientation)[None])
    assert np.allclose(direct, turned_descriptors(descriptors(view[None]), orientation), atol=1e-4)


@settings(max_examples=30)
@given(view=views)
def test_vectors_have_length_one_or_zero(view):
    length = float(np.linalg.norm(descriptors(view[None])))
    assert length == pytest.approx(1, abs=1e-4) or length == 0


def test_eight_orientations_are_those_of_a_square():
    view = np.arange(SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)
    view[0, 0] = 77
    shown = {turned(view, orientation).tobytes() for orientation in range(ORIENTATIONS)}
    square = {np.ascontiguousarray(np.rot90(side, k)).tobytes() for side in (view, view[:, ::-1]) for k in range(4)}
    assert shown == square and len(shown) == ORIENTATIONS


@settings(max_examples=50)
@given(orientation=orientations, rows=st.tuples(st.integers(0, 20), st.integers(30, 64)), left=st.integers(0, 30))
def test_turned_box_bounds_what_was_in_the_box(orientation, rows, left):
    view = np.zeros((SIDE, SIDE), np.uint8)
    view[rows[0] : rows[1], left : left + 11] = 1
    box = np.array([rows[0], rows[1], left, left + 11], np.float32) / SIDE
    top, bottom, first, last = np.rint(turned_box(box, orientation) * SIDE).astype(int)
    moved = turned(view, orientation)
    assert moved[top:bottom, first:last].all() and moved.sum() == (bottom - top) * (last - first)


@settings(max_examples=30)
@given(view=views)
def test_equalised_keeps_order_and_ignores_monotone_changes(view):
    levels = equalised(view)
    assert levels.min() >= 0 and levels.max() <= 1
    order = np.argsort(view, axis=None, kind="stable")
    assert (np.diff(levels.ravel()[order]) >= 0).all()
    halved = view // 2
    assert np.array_equal(equalised(halved), equalised(2 * halved + 1))


def test_no_views_give_no_vectors():
    assert descriptors(np.zeros((0, SIDE, SIDE), np.uint8)).shape == (0, 64)
