"""Groups stay whole, nothing is used twice, the baseline's split leaks and says so."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.manifest import PARTS, write_manifest
from brainsift.datasets.protocols import SplitConfig
from brainsift.datasets.split import check, split, twin_counts, with_subsets


def manifest(*, seed=0, groups=120, sources=("a", "b"), twins=0.3, size=4, balance=0.5) -> pd.DataFrame:
    """Draws an audited manifest: groups of one label and source, some pictures twice."""
    random = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        label = float(random.random() < balance) if group > 11 else float(group % 2)
        source = sources[group // 2 % len(sources)]
        for _ in range(random.integers(1, size + 1)):
            row = {"source": source, "label": label, "group": f"g{group}", "pixels_sha256": f"p{len(rows)}"}
            rows += [row] * (1 + int(random.random() < twins))
    table = pd.DataFrame(rows)
    table["path"] = [f"/data/{source}/{i}.png" for i, source in enumerate(table["source"])]
    return table.assign(sha256=table["pixels_sha256"], status="ok", flags="", channel="", patient="", mask="")


configs = st.builds(
    SplitConfig,
    folds=st.just(4),
    fold=st.integers(0, 3),
    validation_share=st.floats(0.1, 0.4),
    seed=st.integers(0, 50),
)
drawn = st.builds(
    manifest,
    seed=st.integers(0, 1000),
    groups=st.integers(40, 90),
    sources=st.sampled_from([("a",), ("a", "b"), ("a", "b", "c")]),
    size=st.integers(1, 6),
    balance=st.floats(0.3, 0.7),
)
few = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@few
@given(table=drawn, config=configs)
def test_grouped_keeps_groups_whole_and_uses_each_picture_once(table, config):
    result = split(table, config)
    check(result)
    used = result[result["part"] != ""]
    assert used.groupby("group")["part"].nunique().max() == 1
    assert not used["pixels_sha256"].duplicated().any()
    assert set(used["pixels_sha256"]) == set(table["pixels_sha256"])
    assert set(used["part"]) == set(PARTS)
    for part in PARTS:
        assert set(used["label"][used["part"] == part]) == {0.0, 1.0}
    assert twin_counts(result)["same_group"] == 0


@pytest.mark.slow
@few
@given(table=drawn, config=configs, order=st.integers(0, 99))
def test_the_order_of_rows_and_the_names_of_groups_do_not_matter(table, config, order):
    shuffled = table.sample(frac=1.0, random_state=order)
    shuffled["group"] = "x" + shuffled["group"].str[::-1]
    once, again = split(table, config), split(shuffled, config)
    assert once.set_index("path")["part"].equals(again.set_index("path")["part"].reindex(once["path"]))


@pytest.mark.slow
@few
@given(table=drawn, config=configs)
def test_source_out_tests_on_the_whole_source(table, config):
    assume(table["source"].nunique() > 1)
    joined = table.copy()
    # A group that stands in two sources: its rows of the other sources must leave the train side.
    joined.loc[joined["group"] == "g2", "group"] = "g0"
    config = SplitConfig("source-out", validation_share=config.validation_share, seed=config.seed, hold_out=("a",))
    result = split(joined, config)
    check(result, "source-out")
    assert set(result["source"][result["part"] == "test"]) == {"a"}
    assert set(result["source"][result["part"].isin(["train", "validation"])]) == set(table["source"]) - {"a"}
    held = joined[joined["source"] == "a"]
    assert (result["part"] == "test").sum() == held["pixels_sha256"].nunique()
    assert (result["part"][(joined["group"] == "g0") & (joined["source"] != "a")] == "").all()


@pytest.mark.slow
def test_more_patients_of_a_source_go_to_the_test_part():
    table = manifest(groups=100, twins=0)
    table["patient"] = np.where(table["source"] == "a", table["group"], "")
    config = SplitConfig(test_patients=("a=30",))
    plain, result = split(table, SplitConfig()), split(table, config)
    check(result)
    tested = result[result["part"] == "test"]
    assert set(plain.index[plain["part"] == "test"]) < set(tested.index)
    assert tested["patient"].replace("", np.nan).nunique() == 30
    assert split(table, SplitConfig(test_patients=("a=1",)))["part"].equals(plain["part"])
    with pytest.raises(UsageError, match="at most"):
        split(table, SplitConfig(test_patients=("a=500",)))
    with pytest.raises(UsageError, match="SOURCE=N"):
        SplitConfig(test_patients=("a",))


@pytest.mark.slow
def test_folds_cover_everything_once():
    table = manifest(groups=100)
    tested = [split(table, SplitConfig(fold=fold)) for fold in range(5)]
    times = sum((result["part"] == "test").astype(int) for result in tested)
    used = tested[0]["part"] != ""
    assert set(times[used]) == {1}
    assert set(times[~used]) == {0}


@pytest.mark.slow
def test_sizes_and_class_balance_are_alike():
    table = manifest(groups=1000, sources=("a", "b", "c"), twins=0.2)
    result = split(table, SplitConfig())
    used = result[result["part"] != ""]
    shares = used["part"].value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.20, abs=0.01)
    assert shares["validation"] == pytest.approx(0.15 * 0.80, abs=0.01)
    by_source = used.groupby(["part", "source"])["label"].mean().unstack()
    assert np.ptp(by_source.to_numpy(), axis=0).max() < 0.06


@pytest.mark.slow
def test_another_seed_is_another_split():
    table = manifest()
    assert split(table, SplitConfig(seed=1)).equals(split(table, SplitConfig(seed=1)))
    assert not split(table, SplitConfig(seed=1)).equals(split(table, SplitConfig(seed=2)))


def test_rows_that_take_no_part():
    table = manifest(groups=60, twins=0)
    table.loc[0, "status"] = "unreadable"
    table.loc[1, "label"] = np.nan
    table.loc[2, "flags"] = "duplicate;conflict"
    table.loc[3, "flags"] = "conflicting_words"
    twin = table.loc[[4]].assign(label=1 - table["label"][4], path="/data/other.png")
    result = split(pd.concat([table, twin], ignore_index=True), SplitConfig())
    assert (result["part"] == "").to_numpy().nonzero()[0].tolist() == [0, 1, 2, 4, len(table)]


def test_the_copy_with_an_outline_is_the_one_kept():
    table = manifest(groups=60, twins=0)
    copy = table.loc[[5]].assign(path="/data/z/copy.png", source="z", mask="/data/z/mask.png")
    result = split(pd.concat([table, copy], ignore_index=True), SplitConfig())
    assert result["part"].iloc[5] == ""
    assert result["part"].iloc[-1] in PARTS


def test_channels_of_one_file_are_images_but_stay_together():
    table = manifest(groups=60, twins=0)
    channels = [table.assign(channel=channel) for channel in "RGB"]
    table = pd.concat(channels, ignore_index=True)
    table["group"] += table["channel"]  # an audit that does not know that they are one slice
    result = split(table, SplitConfig())
    assert (result["part"] != "").all()
    assert result.groupby("path")["part"].nunique().max() == 1


def test_patients_stay_whole_within_their_source():
    table = manifest(groups=80, twins=0, size=1)
    table["patient"] = [f"{i % 20}" for i in range(len(table))]
    table["label"] = [float(i % 2) for i in range(len(table))]
    table["source"] = [("a", "b")[i % 40 // 20] for i in range(len(table))]
    result = split(table, SplitConfig(folds=3))
    assert result.groupby(["source", "patient"])["part"].nunique().max() == 1
    assert result.groupby("patient")["part"].nunique().max() == 2  # patient 3 of another hospital is somebody else


def test_sources_narrow_the_choice():
    result = split(manifest(sources=("a", "b", "c")), SplitConfig(sources=("a", "b")))
    assert set(result["source"][result["part"] != ""]) == {"a", "b"}
    with pytest.raises(UsageError, match=r"\['d'\]"):
        split(manifest(), SplitConfig(sources=("a", "d")))


def test_random_is_the_split_of_the_baseline_study():
    table = manifest(groups=400, twins=0.5)
    result = split(table, SplitConfig("random", seed=3))
    counts = result["part"].value_counts()
    assert counts.sum() == len(table)
    assert counts["train"] == pytest.approx(0.80 * len(table), abs=1)
    assert counts["test"] == pytest.approx(0.11 * len(table), abs=1)
    assert counts["validation"] == pytest.approx(0.09 * len(table), abs=1)
    assert result.groupby("part")["label"].mean().std() < 0.01
    check(result, "random")
    assert SplitConfig("random").leaky
    assert not SplitConfig().leaky
    with pytest.raises(ManifestError, match="more than one subset"):
        check(result)


def test_twin_counts():
    table = pd.DataFrame(
        {
            "part": ["train", "train", "test", "test", "test", "test", "validation"],
            "sha256": ["a", "", "a", "", "c", "d", "d"],
            "pixels_sha256": ["A", "B", "A", "B", "C", "D", "D"],
            "group": ["1", "2", "1", "2", "2", "4", "4"],
        }
    )
    assert twin_counts(table) == {
        "test": 4,
        "same_file": 1,
        "same_file_share": 0.25,
        "same_pixels": 2,
        "same_pixels_share": 0.5,
        "same_group": 3,
        "same_group_share": 0.75,
    }
    assert twin_counts(table.assign(part="train"))["same_file_share"] == 0.0


def test_check_finds_leaks():
    clean = pd.DataFrame({"part": ["train", "test", ""], "group": ["1", "2", "2"], "source": "a"})
    check(clean)
    with pytest.raises(ManifestError, match=r"`group`.*'2'"):
        check(clean.assign(part=["train", "test", "validation"]))
    with pytest.raises(ManifestError, match="`patient`"):
        check(clean.assign(patient="7"))
    with pytest.raises(ManifestError, match="holidays"):
        check(clean.assign(part="holidays"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "hopeful"},
        {"folds": 1},
        {"fold": 5},
        {"validation_share": 0.0},
        {"seed": -1},
        {"hold_out": ("a",)},
        {"protocol": "source-out"},
        {"protocol": "random", "test_patients": ("a=4",)},
        {"protocol": "source-out", "hold_out": ("a",), "test_patients": ("b=4",)},
    ],
)
def test_values_out_of_range(wrong):
    with pytest.raises(UsageError, match=r"must |has no meaning"):
        SplitConfig(**wrong)


def test_too_little_to_split():
    with pytest.raises(ManifestError, match="nothing is left to train on"):
        split(manifest(), SplitConfig("source-out", hold_out=tuple(manifest()["source"].unique())))
    with pytest.raises(ManifestError, match="lacks this column"):
        split(manifest().drop(columns="group"), SplitConfig())
    with pytest.raises(ManifestError, match="too few"):
        split(manifest(groups=6), SplitConfig())
    with pytest.raises(ManifestError, match="too few"):
        split(manifest().assign(label=1.0), SplitConfig())
    with pytest.raises(ManifestError, match="no row"):
        split(manifest().assign(status="tiny"), SplitConfig())
    with pytest.raises(ManifestError, match="too few"):
        split(manifest(groups=1, size=1), SplitConfig("random"))


@pytest.mark.slow
def test_a_file_is_split_as_its_table_is(tmp_path):
    table = manifest()
    write_manifest(table, tmp_path / "manifest.csv")
    found = split(tmp_path / "manifest.csv", folds=4, fold=1)
    assert found["part"].tolist() == split(table, SplitConfig(folds=4), fold=1)["part"].tolist()
    with pytest.raises(UsageError, match="fold: must be 0 to 3"):
        split(table, folds=4, fold=4)


def test_a_manifest_keeps_the_subsets_it_has(tmp_path):
    table = manifest()
    made, origin = with_subsets(table, seed=3, fold=2)
    assert (made["part"].tolist(), origin) == (
        split(table, seed=3, fold=2)["part"].tolist(),
        {"protocol": "grouped", "fold": 2},
    )
    kept, origin = with_subsets(made, seed=4)
    assert kept is made and origin == {"protocol": None, "fold": None}
    write_manifest(made, tmp_path / "split.csv")
    with pytest.raises(UsageError, match=r"fold, protocol: .*split\.csv is split already"):
        with_subsets(tmp_path / "split.csv", protocol="random", fold=1)
    with pytest.raises(ManifestError, match=r"lacks the columns \['group'\]"):
        with_subsets(table.drop(columns="group"))
