"""Block means and resized images, against the plainest way to compute them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brainsift.images.resample import block_means, interpolated, product, resize


@pytest.mark.slow
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=20, max_side=70)), st.integers(1, 20))
def test_bytes_are_summed_sooner_to_the_same_means(grey, cell):
    np.testing.assert_array_equal(block_means(grey, cell), block_means(grey.astype(np.float32), cell))


@pytest.mark.slow
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=150)),
    st.integers(1, 150),
    st.integers(1, 150),
)
def test_resized_is_the_product_with_the_whole_filter(pixels, height, width):
    if max(pixels.shape) >= 4 * max(height, width):
        pixels = block_means(pixels, int(max(pixels.shape) / max(height, width) / 2))
    expected = triangle(pixels.shape[0], height) @ pixels @ triangle(pixels.shape[1], width).T
    np.testing.assert_allclose(resize(pixels, height, width), expected, atol=2e-3)


@pytest.mark.slow
@given(*[st.sampled_from([1, 3, 4, 16, 70, 300, 1500])] * 3, st.booleans())
def test_a_product_in_blocks_is_the_product(n, k, m, turned):
    random = np.random.default_rng(n * k * m)
    left, right = random.random((n, k), np.float32), random.random((m, k) if turned else (k, m), np.float32)
    right = right.T if turned else right
    result = np.full((n, m + 1), np.nan, np.float32)
    assert product(left, right, out=result[:, :m]).base is result
    np.testing.assert_allclose(result[:, :m], left.astype(np.float64) @ right, rtol=1e-4)
    np.testing.assert_array_equal(product(left, right), result[:, :m])
    assert np.isnan(result[:, m]).all()


@pytest.mark.slow
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40), elements=st.integers(0, 1)
    ),
    st.integers(1, 9),
    st.data(),
)
def test_interpolated_cells_are_those_of_numpy_along_each_side(cells, cell, data):
    box, sizes, lines = [], [], []
    for length in cells.shape:
        start, stop = sorted(data.draw(st.lists(st.integers(0, length * cell), min_size=2, max_size=2, unique=True)))
        size = data.draw(st.integers(1, 140))
        box.append(slice(start, stop))
        sizes.append(size)
        lines.append((start + (np.arange(size) + 0.5) * ((stop - start) / size)) / cell - 0.5)
    expected = np.array([np.interp(lines[1], np.arange(cells.shape[1]), row) for row in cells])
    expected = np.array([np.interp(lines[0], np.arange(cells.shape[0]), column) for column in expected.T]).T
    np.testing.assert_allclose(interpolated(cells, tuple(box), cell, *sizes), expected, atol=1e-4)


def triangle(length, size):
    # float32 knows a place of up to 150 to about 1e-5 only, and neighbours differ by up to 255
    scale = np.float32(length / size)
    places = (np.arange(size, dtype=np.float32)[:, None] + np.float32(0.5)) * scale - np.float32(0.5)
    distances = np.abs(places - np.arange(length, dtype=np.float32))
    weights = np.maximum(1 - distances / max(scale, np.float32(1)), 0).astype(np.float64)
    return weights / weights.sum(axis=1, keepdims=True)
