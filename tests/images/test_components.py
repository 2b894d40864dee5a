"""Patches of a mask, against the plainest way to find them."""

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from brainsift.images.components import filled, grown, labels

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


@given(MASKS)
def test_patches_are_what_a_flood_reaches(mask):
    numbers = labels(mask)
    np.testing.assert_array_equal(numbers > 0, mask)
    for label in np.unique(numbers[mask]):
        np.testing.assert_array_equal(_flooded(mask, tuple(np.argwhere(numbers == label)[0])), numbers == label)


def _flooded(mask, start):
    reached, waiting = np.zeros_like(mask), [start]
    while waiting:
        y, x = waiting.pop()
        if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not reached[y, x]:
            reached[y, x] = True
            waiting += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return reached


@given(MASKS)
def test_filled_is_what_lies_between_two_cells(mask):
    def between(lines):
        return [[line[: place + 1].any() and line[place:].any() for place in range(line.size)] for line in lines]

    np.testing.assert_array_equal(filled(mask), np.array(between(mask)) | np.array(between(mask.T)).T)


def test_grown_has_the_four_neighbours():
    mask = np.zeros((4, 5), bool)
    mask[0, 2] = mask[3, 4] = True
    assert {tuple(cell) for cell in np.argwhere(grown(mask))} == {
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 2),
        (2, 4),
        (3, 3),
        (3, 4),
    }
    assert mask.sum() == 2
