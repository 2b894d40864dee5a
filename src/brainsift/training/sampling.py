"""How often each training image is drawn, so that neither source, contrast nor plane tells the class."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

_TELLING = ("contrast", "plane")
_ROUNDS = 20
_MOST = 3.0  # a few images may not stand for a whole plane: no weight changes by more than this


def sampling_weights(table: pd.DataFrame) -> Tensor:
    """Returns the sampling weight of each training image, or the weight of each validation image.

    A contrast and plane of a source (a view) gets the square root of its number of groups as weight, and within it
    both classes get the same. A group gets the square root of its size: near-duplicates add little, different slices
    of one patient add more.

    Most sources hold one class. Their weights are then moved, by at most a factor, until both classes weigh the same
    within each contrast and within each plane (raking, Deming and Stephan 1940): otherwise sagittal would mean *tumor*
    where only tumors were saved in that plane. Views with both classes keep their weights.

    Args:
        table: n rows of a manifest with labels and groups.

    Returns:
        float64 (n,), of any sum.
    """
    view = table["source"] + " " + table["contrast"] + " " + table["plane"]
    weight = table.groupby([view, "label", "group"])["path"].transform("size") ** -0.5
    weight /= weight.groupby([view, table["label"]]).transform("sum")
    weight *= np.sqrt(table.groupby(view)["group"].transform("nunique"))
    alone = table.groupby(view)["label"].transform("nunique") == 1
    if alone.any():
        weight *= _raking(table, weight, alone)
    return torch.from_numpy(weight.to_numpy(dtype=np.float64, copy=True))


def _raking(table: pd.DataFrame, weight: pd.Series, alone: pd.Series) -> pd.Series:
    """Returns the factors (n,) of the images whose view has one class; 1 for the others."""
    factor = pd.Series(1.0, index=table.index)
    for _ in range(_ROUNDS):
        for column in _TELLING:
            now = weight * factor
            of_class = now.groupby([table[column], table["label"]]).transform("sum")
            of_both = now.groupby(table[column]).transform("sum")
            mixed = table.groupby(column)["label"].transform("nunique") == 2
            step = np.sqrt((of_both - of_class) / of_class).where(alone & mixed, 1.0)
            factor = (factor * step).clip(1 / _MOST, _MOST)
    return factor
