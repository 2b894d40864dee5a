"""How often an image is drawn: neither source, contrast, plane nor copies tell the class."""

import pandas as pd
import pytest

from brainsift.training.sampling import sampling_weights


def rows(source, label, n, *, contrast="", plane="", group=None):
    groups = [f"{source}-{label}-{plane}-{i}" if group is None else group for i in range(n)]
    return pd.DataFrame(
        {"source": source, "contrast": contrast, "plane": plane, "label": float(label), "group": groups, "path": groups}
    )


def weighed(*parts):
    table = pd.concat(parts, ignore_index=True)
    return table.assign(weight=sampling_weights(table).numpy())


def test_balanced_sampling_tells_neither_source_nor_copies():
    table = weighed(
        rows("a", 0, 9), rows("a", 1, 1), rows("b", 0, 45, group="copies"), rows("b", 1, 45)
    )  # fmt: skip
    per_class = table.groupby(["source", "label"])["weight"].sum()
    assert per_class["a"][0.0] == pytest.approx(per_class["a"][1.0])
    assert per_class["b"][0.0] == pytest.approx(per_class["b"][1.0])
    assert per_class["b"].sum() / per_class["a"].sum() == pytest.approx((46 / 10) ** 0.5)


def test_planes_and_contrasts_of_sources_with_one_class_are_balanced():
    table = weighed(
        rows("glioma", 1, 40, contrast="t1ce", plane="sagittal"),
        rows("glioma", 1, 20, contrast="t1ce", plane="axial"),
        rows("stroke", 0, 10, contrast="t1ce", plane="sagittal"),
        rows("stroke", 0, 60, contrast="t1ce", plane="axial"),
        rows("meningioma", 1, 50, contrast="t2", plane="axial"),
        rows("healthy", 0, 20, contrast="t2", plane="axial"),
    )
    for column, value in (("plane", "sagittal"), ("plane", "axial"), ("contrast", "t1ce"), ("contrast", "t2")):
        tumor, without = table[table[column] == value].groupby("label")["weight"].sum()[[1.0, 0.0]]
        assert tumor == pytest.approx(without, rel=0.05), value


def test_views_with_both_classes_keep_their_weights():
    both = (rows("lgg", 0, 10, contrast="flair", plane="axial"), rows("lgg", 1, 30, contrast="flair", plane="axial"))
    stroke = rows("stroke", 0, 500, contrast="flair", plane="axial")
    alone, together = weighed(*both), weighed(*both, stroke)
    assert together["weight"][:40].to_numpy() == pytest.approx(alone["weight"].to_numpy())


def test_a_few_images_do_not_stand_for_a_whole_plane():
    table = weighed(
        rows("glioma", 1, 4000, plane="coronal"),
        rows("heads", 0, 1, plane="coronal"),
        rows("heads", 0, 1, contrast="t2", plane="axial"),
    )
    glioma, axial, coronal = table.groupby(["source", "plane"])["weight"].sum()
    assert coronal / axial == pytest.approx(3) and glioma / coronal > 3
