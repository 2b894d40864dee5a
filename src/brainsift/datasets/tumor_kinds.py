"""The kind of tumor as one of four, whatever a collection calls it."""

import pandas as pd

KINDS = ("glioma", "meningioma", "pituitary", "other")
# Gliomas in the WHO classification of 2021, and the glioneuronal ganglioglioma; in English, and as `kinds44` has them.
_GLIOMAS = frozenset(
    """
    glioma glioblastoma astrocytoma astrocitoma oligodendroglioma ependymoma ependimoma ganglioglioma
    """.split()  # noqa: SIM905
)
# These collections name no kind, because all of their tumors are gliomas.
_OF_GLIOMAS = ("lgg", "rsna_t1ce")


def kinds_of(table: pd.DataFrame) -> pd.Series:
    """Returns one of `KINDS` for each row of a manifest; "" where there is no tumor, or its kind is not known.

    >>> rows = {"source": ["mine", "mine", "lgg"], "label": [1, 1, 0], "kind": ["Astrocitoma", "Carcinoma", ""]}
    >>> kinds_of(pd.DataFrame(rows)).tolist()
    ['glioma', 'other', '']
    """
    named = table["kind"].where(~((table["kind"] == "") & table["source"].isin(_OF_GLIOMAS)), "glioma")
    return named.map(_kind_from_name).where(table["label"] == 1, "")


def _kind_from_name(name: str) -> str:
    word = name.strip().casefold().removesuffix(" tumor")
    if word in _GLIOMAS:
        return "glioma"
    return word if word in ("", *KINDS) else "other"
