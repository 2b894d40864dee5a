"""Names of class folders."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainsift.core.labels import CLASS_NAMES, NO_TUMOR, TUMOR, UNKNOWN, label_from_name


@pytest.mark.parametrize(
    "name",
    ["no", "No", "NO_TUMOR", "notumor", "no tumour", "Healthy", "normal", "Normal T1", "_NORMAL T2", "Tumor-Free"],
)
def test_names_of_no_tumor(name):
    assert label_from_name(name) == NO_TUMOR


@pytest.mark.parametrize(
    "name",
    [
        "yes",
        "Tumor",
        "Brain Tumor",
        "glioma",
        "meningioma_tumor",
        "pituitary_tumor",
        "Glioblastoma T1C+",
        "Papiloma T2",
    ],
)
def test_names_of_tumors(name):
    assert label_from_name(name) == TUMOR


@pytest.mark.parametrize(
    "name",
    [
        "",
        "pred",
        "train",
        "Testing",
        "images",
        "T1",
        "no_idea",
        "yesterday",
        "nodes",
        "tumor-",
        "tumor (-)",
        "-tumor",
        "!tumor",
        "tumor?",
        "tumor+",
        "нет tumor",
        "无tumor",
        "kein_tümor",
    ],
)
def test_names_that_say_nothing(name):
    assert label_from_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "tumor 0",
        "tumor=0",
        "0 tumors",
        "tumor0",
        "tumor: 0,2",
        "0.9 tumor",
        "tumor -1",
        "no_tumor 1",
        "1_normal",
        "tumor 0 T1",
    ],
)
def test_a_number_that_contradicts_the_word_says_nothing(name):
    assert label_from_name(name) is None


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("tumor 1", 1),
        ("tumor=1.0", 1),
        ("0 no tumor", 0),
        ("normal_0", 0),
        ("glioma2", 1),
        ("tumor_2", 1),
        ("no tumor (3)", 0),
        ("Papiloma T1", 1),
        ("Normal_T1C+", 0),
    ],
)
def test_a_number_that_agrees_or_counts_changes_nothing(name, label):
    assert label_from_name(name) == label


def test_the_order_of_the_classes():
    assert CLASS_NAMES[NO_TUMOR] == "no_tumor"
    assert CLASS_NAMES[TUMOR] == "tumor"
    assert [label_from_name(name) for name in CLASS_NAMES] == [0, 1]
    assert math.isnan(UNKNOWN)


@given(st.sampled_from(["no_tumor", "glioma", "pred"]), st.sampled_from(["", " ", "_"]), st.booleans())
def test_case_and_separators_do_not_matter(name, separator, upper):
    changed = separator + name.replace("_", separator) + separator
    assert label_from_name(changed.upper() if upper else changed) == label_from_name(name)


@given(st.text(max_size=30))
def test_any_name_is_understood_or_not_but_never_fails(name):
    assert label_from_name(name) in (0, 1, None)
