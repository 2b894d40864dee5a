"""The two classes, their order, "unknown", and the names of folders that tell a class.

A label is 1 (tumor), 0 (no tumor) or NaN (unknown), in this order everywhere.
"""

import math
import re
from typing import Final, Literal

NO_TUMOR: Final = 0
TUMOR: Final = 1
UNKNOWN = math.nan
CLASS_NAMES = ("no_tumor", "tumor")

# Names of class folders, in small letters and without anything but letters.
_NO_TUMOR_NAMES = frozenset(
    """
    no notumor notumour nontumor nontumour normal normalbrain healthy healthybrain negative control controls tumorfree
    tumourfree without clean
    """.split()  # noqa: SIM905
)
_TUMOR_NAMES = frozenset(
    """
    yes tumor tumour tumors tumours braintumor braintumour braintumors cancer positive abnormal
    glioma gliomas gliomatumor meningioma meningiomatumor pituitary pituitarytumor metastasis metastases
    glioblastoma astrocytoma astrocitoma oligodendroglioma ependymoma ependimoma medulloblastoma meduloblastoma
    schwannoma neurocytoma neurocitoma papilloma papiloma carcinoma ganglioglioma germinoma lymphoma
    craniopharyngioma hemangioblastoma granuloma tuberculoma
    """.split()  # noqa: SIM905
)
_CONTRAST = re.compile(r"[\s_-]+(t1c\+?|t1ce|t1gd|t1|t2|flair)$", re.IGNORECASE)


def label_from_name(name: str) -> Literal[0, 1] | None:
    """Reads a class from the name of a folder.

    Args:
        name: such as ``yes``, ``Brain Tumor``, ``no_tumor``, ``Glioblastoma T1C+``.

    Returns:
        1, 0, or None where the name says nothing.

    >>> label_from_name("No_Tumor"), label_from_name("Glioblastoma T1C+"), label_from_name("pred")
    (0, 1, None)
    """
    letters = re.sub(r"[^a-z]", "", _CONTRAST.sub("", name.strip()).lower())
    if letters in _NO_TUMOR_NAMES:
        return NO_TUMOR
    if letters in _TUMOR_NAMES:
        return TUMOR
    return None
