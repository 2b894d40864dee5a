"""The names of collections become one of four kinds."""

import pandas as pd
import pytest

from brainsift.datasets.tumor_kinds import KINDS, kinds_of


@pytest.mark.parametrize(
    ("source", "name", "label", "kind"),
    [
        ("kinds44", "Glioblastoma", 1, "glioma"),
        ("kinds44", "Ependimoma", 1, "glioma"),
        ("kinds44", "Meningioma", 1, "meningioma"),
        ("kinds44", "Schwannoma", 1, "other"),
        ("mine", " Pituitary tumor", 1, "pituitary"),
        ("mine", "", 1, ""),
        ("mine", "glioma", 0, ""),
        ("mine", "glioma", float("nan"), ""),
        ("lgg", "", 1, "glioma"),
        ("lgg", "", 0, ""),
        ("rsna_t1ce", "meningioma", 1, "meningioma"),
    ],
)
def test_a_name_becomes_one_of_four_kinds_or_none(source, name, label, kind):
    (found,) = kinds_of(pd.DataFrame({"source": [source], "label": [label], "kind": [name]}))
    assert found == kind and kind in ("", *KINDS)
