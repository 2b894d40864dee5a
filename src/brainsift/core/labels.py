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
# Letters of another script and signs may turn the meaning round: "нет tumor", "tumor (-)", "tumor?".
_SIGN = re.compile(r"[^a-z\s\d_.,:=()-]|^\s*-|-\s*([^a-z\s]|$)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"(?:(?<!\w)-)?\d+(?:[.,]\d+)?")
_CONTRAST = re.compile(r"[\s_-]+(t1c\+?|t1ce|t1gd|t1|t2|flair)$", re.IGNORECASE)


def class_in_words(label: float) -> str:
    """Returns the class of a label (1, 0, or NaN where nobody knows) as tables show it."""
    return {1.0: "tumor", 0.0: "no tumor"}.get(label, "unlabelled")


def label_from_name(name: str) -> Literal[0, 1] | None:
    """Reads a class from the name of a folder.

    A number from 2 on counts images, folders or kinds, and says nothing: ``tumor_2``. A smaller one may be the label
    itself, so it has to agree with the word: ``tumor 1`` is a tumor, and of ``tumor 0`` only the user knows.

    Args:
        name: such as ``yes``, ``Brain Tumor``, ``no_tumor``, ``Glioblastoma T1C+``.

    Returns:
        1, 0, or None where the name says nothing, or contradicts itself.

    >>> label_from_name("No_Tumor"), label_from_name("Glioblastoma T1C+"), label_from_name("pred")
    (0, 1, None)
    >>> label_from_name("tumor_2"), label_from_name("0 tumors"), label_from_name("tumor (-)")
    (1, None, None)
    """
    words = _CONTRAST.sub("", name.strip())
    if _SIGN.search(_NUMBER.sub(" ", words)):
        return None
    letters = re.sub(r"[^a-z]", "", words.lower())
    if letters not in _NO_TUMOR_NAMES | _TUMOR_NAMES:
        return None
    label: Literal[0, 1] = TUMOR if letters in _TUMOR_NAMES else NO_TUMOR
    numbers = [float(number.replace(",", ".")) for number in _NUMBER.findall(words)]
    return label if all(number == label or number >= 2 for number in numbers) else None
