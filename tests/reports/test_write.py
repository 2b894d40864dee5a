"""Reports of a made-up study, with drawn images and predictions of known properties."""

import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

from brainsift.auditing.audit import AuditConfig, AuditResult, audit
from brainsift.auditing.findings import Findings, Probe, Totals
from brainsift.core import text
from brainsift.datasets.catalog import collect
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.evaluation.compare_runs import compare_runs, summarise_runs
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.evaluation.run_results import Undisputed
from brainsift.images import phantom
from brainsift.reports import write
from brainsift.stats.intervals import Interval
from brainsift.studies import study_results
from brainsift.studies.study_records import Claim, StudyComparison, StudyRun, StudySummary, families
from brainsift.studies.study_results import StudyResults
from brainsift.training.searches import Search

pytestmark = pytest.mark.slow

FAST = {"n_resamples": 60, "threshold": "even"}
# strength of the signal by (protocol, model, recipe), and on the unseen source
RUNS = {
    ("grouped", "compact", "standard"): (1.7, 0.35),
    ("grouped", "baseline-cnn", "standard"): (1.3, 0.2),
    ("grouped", "baseline-cnn", "baseline"): (1.1, 0.1),
    ("random", "compact", "standard"): (2.6, 0.35),
    ("random", "baseline-cnn", "baseline"): (2.4, 0.1),
}
FOLDS = 2


def draw_images(folder, n=48):
    rows = []
    for number in range(n):
        group, tumor = number // 2, number // 2 % 2 == 1
        path = folder / "images" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(phantom.draw(group, tumor=tumor, size=96).pixels).save(path)
        for copy in range(5):
            (path.parent / str(copy)).mkdir(exist_ok=True)
            shutil.copy(path, path.parent / str(copy))
        rows.append((str(path), "br35h" if number % 3 else "preet", float(tumor), f"g{group}"))
    table = pd.DataFrame(rows, columns=["path", "source", "label", "group"])
    table = table.assign(channel="", status="ok", flags="", format="PNG", detail="", patient="", contrast="")
    return table.assign(sha256=[f"{i:x}" for i in range(n)], pixels_sha256=[f"{i:x}" for i in range(n)])


def predict(manifest, strength, outside, *, fold, seed):
    """predictions.csv: 240 images made of the drawn ones, and 60 of an unseen source."""
    generator = np.random.default_rng(seed)
    many = pd.concat([manifest] * 5, ignore_index=True)
    many["path"] = [path.replace("images", f"images/{i // len(manifest)}") for i, path in enumerate(many["path"])]
    many["group"] = [f"{group}-{i // 2}" for i, group in enumerate(many["group"])]
    place = np.arange(len(many)) // 4 % 4
    many["part"] = np.select([place == fold, place == 3], ["test", "validation"], "train")
    unseen = many.head(60).assign(source="btp_t1ce", part="external", group=[f"p{i // 12}" for i in range(60)])
    unseen["path"] = unseen["path"] + "-outside"
    table = pd.concat([many, unseen], ignore_index=True)
    power = np.where(table["part"] == "external", outside, strength)
    table["logit"] = 2.2 * ((2 * table["label"] - 1) * power + generator.normal(size=len(table)))
    table["probability"] = expit(table["logit"])
    return table[["path", "channel", "source", "label", "patient", "group", "part", "logit", "probability"]]


def make_runs(folder, manifest):
    runs = []
    for number, ((protocol, model, recipe), (strength, outside)) in enumerate(RUNS.items()):
        for fold in range(FOLDS if protocol == "grouped" else 1):
            run = folder / "runs" / f"{protocol}-{model}-{recipe}-fold{fold}"
            run.mkdir(parents=True)
            predict(manifest, strength, outside, fold=fold, seed=10 * number + fold).to_csv(
                run / "predictions.csv", index=False
            )
            (run / "config.json").write_text(json.dumps({"model": model, "protocol": protocol, "fold": fold}))
            epochs = np.arange(1, 13)
            curve = {
                "epoch": epochs,
                "seconds": 3.1,
                "learning_rate": 1e-3,
                "train_loss": 0.7 * np.exp(-epochs / 5) + 0.1,
            }
            curve |= {"validation_loss": 0.5 / strength + 0.4 * np.exp(-epochs / 3) + 0.004 * epochs}
            curve |= {"validation_auc": 1 - 0.2 * np.exp(-epochs / 4), "validation_accuracy": 0.9}
            pd.DataFrame(curve).to_csv(run / "curve.csv", index=False)
            twins = 0.8 if protocol == "random" else 0.0
            copies = 41 * (twins > 0)
            runs.append(
                StudyRun(
                    name=run.name,
                    protocol=protocol,
                    fold=fold,
                    model=model,
                    recipe=recipe,
                    tuned=False,
                    folder=str(run.relative_to(folder)),
                    parameters=958_000,
                    pretrained="",
                    precision="fp32",
                    commit="abc1234",
                    epochs=12,
                    seconds=37.2,
                    leaky=protocol == "random",
                    twins={
                        "test": 60,
                        "same_file": copies,
                        "same_file_share": copies / 60,
                        "same_pixels": copies,
                        "same_pixels_share": copies / 60,
                        "same_group": 60 * twins,
                        "same_group_share": twins,
                    },
                    results=evaluate_run(run, **FAST),
                )
            )
    return runs


def probe(name, protocol, value):
    score = Interval(value, value - 0.02, value + 0.02)
    return Probe(name, protocol, score, score, score, 4000, 1700, "What the file tells.")


def findings(*probes):
    names = (
        "readable distinct_pixels largest_group conflicts near_conflicts unreadable tiny off_topic".split()  # noqa: SIM905
    )
    totals = Totals(files=7600, distinct_files=4210, groups=1700, **dict.fromkeys(names, 0))
    return Findings("0.1.0", {"seed": 0}, ("br35h", "preet"), totals, probes=probes)


def fake_study(folder):
    manifest = draw_images(folder)
    write_manifest(manifest, folder / "manifest.csv")
    runs = make_runs(folder, manifest)
    summary = [
        StudySummary(
            **vars(summarise_runs([folder / run.folder for run in family], **FAST)),
            protocol=protocol,
            model=model,
            recipe=recipe,
            leaky=protocol == "random",
        )
        for (protocol, model, recipe), family in families(runs).items()
    ]
    names = {"protocol": "grouped", "a": "baseline-cnn (standard)", "b": "compact (standard)"}
    pair = [folder / "runs" / f"grouped-{model}-standard-fold0" for model in ("baseline-cnn", "compact")]
    trials = [
        {
            "number": i,
            "value": 0.3 + abs(math.log10(rate) + 3) / 5,
            "state": "pruned" if i % 4 == 3 else "complete",
            "learning_rate": rate,
            "dropout": 0.1 * (i % 6),
        }
        for i, rate in enumerate(10 ** np.random.default_rng(0).uniform(-5, -1.7, 16))
    ]
    best = min((one for one in trials if one["state"] == "complete"), key=lambda one: one["value"])
    probed = {"image_size": (0.93, 0.957), "border": (0.87, 0.985)}
    probes = [
        probe(name, *pair)
        for name, values in probed.items()
        for pair in zip(("grouped", "random"), values, strict=True)
    ]
    search = {
        **{"model": "compact", "recipe": "standard", "epochs": 4, "seed": 0, "trials": trials},
        "best": {key: best[key] for key in ("value", "learning_rate", "dropout")},
        "importance": {"learning_rate": 0.8, "dropout": 0.2},
    }
    return StudyResults(
        title="A made-up study",
        created="2025-05-04T10:20:30+00:00",
        command="brainsift study --data br35h=data -o study",
        commit="abc1234",
        version="0.1.0",
        hardware={"processor": "one <fast> core", "cores": "2"},
        seconds=4321.0,
        training_seconds=300.0,
        peak_memory_mb=1234.5,
        phantom=False,
        config={"seed": 0},
        audit=findings(*probes),
        external_overlap={},
        runs=tuple(runs),
        summary=tuple(summary),
        comparisons=tuple(StudyComparison(**vars(one), **names) for one in compare_runs(*pair, **FAST).comparisons),
        tuning=(Search.from_json(search),),
        claims=(Claim("baseline-cnn", 0.9836), Claim("resnet50", 0.52)),
    )


class Page(HTMLParser):
    """What a test asks of a page: tags that stay open, ids, links, and whatever would be loaded from elsewhere."""

    VOID = frozenset(["meta", "img", "br", "link", "path", "use", "rect"])

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.loaded = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src"):
                (self.links if value.startswith("#") else self.loaded).append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return fake_study(folder), folder


@pytest.fixture(scope="module")
def written(study):
    """All files of the study, and its page."""
    results, folder = study
    write.write_study_files(results, folder)
    return folder


@pytest.fixture(scope="module")
def page(written):
    return (written / "report.html").read_text(encoding="utf-8")


def report_of(results, folder, out):
    write.write_study_report(results, folder, out)
    return out.read_text(encoding="utf-8")


def test_each_chart_is_a_file_of_its_own(written, page):
    names = sorted(path.name for path in (written / "figures").iterdir())
    assert len(names) == page.count('<svg role="img"') == 20
    assert {"curves-random-split-leaky-roc-curves.svg", "curves-grouped-roc-curves.svg"} <= set(names)
    assert {"what-simple-rules-reach-accuracy.svg", "compact-validation-loss-by-dropout.svg"} <= set(names)
    for path in (written / "figures").iterdir():
        drawn = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(drawn)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and int(root.get("width")) > 100
        assert "var(" not in drawn and "currentColor" not in drawn


def test_tables_are_written_beside_the_report(written):
    assert "| random (leaky) | compact |" in (written / "tables.md").read_text(encoding="utf-8")


def test_page_is_whole_and_loads_nothing(study, page):
    read = Page(page)
    assert read.open == []
    assert all(value.startswith("data:image/jpeg;base64,") for value in read.loaded)
    assert set(read.links) <= {f"#{one}" for one in read.ids}
    named = [one for one in read.ids if not re.match(r"f[0-9a-f]{8}-", one)]
    assert len(named) == len(set(named))
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert len(page) < 3_000_000
    assert str(study[1]) not in page


def test_page_says_what_it_is(page):
    assert "Research use only, not a medical device" in page
    assert "drawn phantoms" not in page
    assert "one &lt;fast&gt; core" in page
    assert "brainsift study --data br35h=data -o study" in page
    assert page.count("<svg") > 12


def test_a_report_can_be_made_again_from_the_file(study, page, tmp_path):
    results, folder = study
    results.write(tmp_path / "results.json")
    again = StudyResults.read(tmp_path / "results.json")
    assert json.dumps(again.to_json()) == json.dumps(json.loads((tmp_path / "results.json").read_text()))
    assert report_of(again, folder, tmp_path / "report.html") == page


def test_accuracy_is_also_told_where_copies_agree(study, tmp_path):
    results, folder = study
    agreed = Undisputed(90, 45, Interval(0.12345, 0.1, 0.2))
    summary = tuple(replace(row, undisputed=agreed if place else None) for place, row in enumerate(results.summary))
    page = report_of(replace(results, summary=summary), folder, tmp_path / "report.html")
    assert "accuracy where copies agree" in page
    assert page.count("12.3 %") == len(summary) - 1 > 0


def test_every_row_of_the_random_split_says_leaky(page):
    rows = re.findall(r"<tr.*?</tr>", page, flags=re.DOTALL)
    of_random = [
        row
        for row in rows
        if re.search(r"\brandom\b(?! split)", re.sub(r"<th scope=.col.*?</th>|<td>random</td>", "", row))
    ]
    assert len(of_random) >= 6
    assert all("leaky" in row for row in of_random)


def test_headline_is_about_the_honest_network_that_validation_chose(study, page):
    results, _ = study
    chosen = study_results.choose(results)
    assert chosen.family == ("grouped", "compact", "standard")
    sentences = " ".join(study_results.believe(results))
    assert text.interval(chosen.pooled["accuracy"]) in sentences
    assert "leaky: 80 % of its test images" in sentences
    assert "image size" in sentences
    assert "btp t1ce" in sentences
    assert sentences.endswith("not those of the held-out groups.")
    assert sentences.split(". ")[0] in page


def test_choice_looks_at_validation_not_at_test(study):
    summary = [
        replace(row, pooled={**row.pooled, "accuracy": Interval(0.99 if row.model == "baseline-cnn" else 0.6)})
        for row in study[0].summary
    ]
    assert study_results.choose(replace(study[0], summary=tuple(summary))).model == "compact"


def test_phantoms_are_labelled(study, tmp_path):
    results, folder = study
    page = report_of(replace(results, phantom=True), folder, tmp_path / "r.html")
    assert page.count("drawn phantoms") >= 3
    assert "The baseline study’s claims" not in page
    assert "Believe that the software works" in page


def test_missing_pieces_leave_gaps_not_errors(study, tmp_path):
    results, _ = study
    bare = replace(results, runs=(), summary=(), comparisons=(), tuning=(), claims=(), audit=findings())
    Page(report_of(bare, tmp_path, tmp_path / "bare.html"))
    one_fold = [
        replace(row, n_folds=1, fold_sd=dict.fromkeys(row.fold_sd, math.nan), external={}) for row in results.summary
    ]
    less = replace(bare, runs=results.runs, summary=tuple(one_fold))
    page = report_of(less, tmp_path, tmp_path / "less.html")  # no run folders here either
    assert "On sources it never saw" not in page
    assert "expect less than this" in page


def test_several_searches_stand_below_each_other(study, tmp_path):
    results, folder = study
    other = replace(results.tuning[0], model="lite0")
    page = report_of(replace(results, tuning=(results.tuning[0], other)), folder, tmp_path / "several.html")
    assert "<h3>compact</h3>" in page and "<h3>lite0</h3>" in page


def test_rules_no_better_than_guessing(study):
    audit = findings(probe("border", "grouped", 0.51), probe("nearest neighbor", "grouped", 0.9))
    assert any("no better than guessing" in one for one in study_results.believe(replace(study[0], audit=audit)))


def test_only_a_leaky_split(study, tmp_path):
    results, folder = study
    leaky = replace(results, summary=tuple(row for row in results.summary if row.leaky))
    assert "Only a leaky split was tried" in report_of(leaky, folder, tmp_path / "leaky.html")


def test_tumor_free_source_is_judged_by_specificity(study, tmp_path):
    results, folder = study
    summary = []
    for row in results.summary:
        healthy = replace(row.external["btp_t1ce"], n_tumor=0, n_groups=36)
        summary.append(replace(row, external={**row.external, "healthy": healthy}))
    page = report_of(replace(results, summary=tuple(summary)), folder, tmp_path / "r.html")
    assert "healthy (specificity)" in page
    assert page.count("†") == 3  # two lines of btp_t1ce and the note


def test_a_notebook_shows_a_study(study):
    shown = study[0]._repr_html_()
    assert Page(shown).open == [] and Page(shown).loaded == []
    assert "A made-up study" in shown and "<svg" in shown and "grouped" in shown and "random (leaky)" in shown


def test_audit_report_and_notebook(study, tmp_path):
    results, folder = study
    manifest = read_manifest(folder / "manifest.csv")
    manifest.loc[0:1, "flags"] = "duplicate;conflict"
    manifest.loc[4, "flags"] = "off_topic"
    manifest.loc[5, ["status", "detail", "group"]] = ["unreadable", "cut off <here>", ""]
    result = AuditResult(manifest, results.audit)
    figures = write.write_audit_report(result, tmp_path / "audit.html")
    assert [figure.heading for figure in figures] == ["The images", "What simple rules reach"]
    page = (tmp_path / "audit.html").read_text()
    read = Page(page)
    assert read.open == []
    assert set(read.links) <= {f"#{one}" for one in read.ids}
    for words in (
        "One picture, two labels",
        "Perhaps no brain MRI",
        "cut off &lt;here&gt;",
        "7\u202f600",
        "2 distinct files",
    ):
        assert words in page
    assert "1 file that cannot be used" in page
    shown = result._repr_html_()
    assert Page(shown).open == [] and Page(shown).loaded == []
    assert "1 file that cannot be used" in shown and "<svg" in shown and "7\u202f600" in shown


def test_audit_report_of_a_collection_without_a_readable_file(tmp_path):
    result = audit(collect([str(write_broken(tmp_path / "broken"))]), AuditConfig(workers=1), output=tmp_path)
    write.write_audit_report(result, tmp_path / "audit.html")
    assert "2 files that cannot be used" in (tmp_path / "audit.html").read_text()
    assert "<svg" in result._repr_html_()


def write_broken(folder):
    for name in ("yes", "no"):
        (folder / name).mkdir(parents=True)
        (folder / name / "one.png").write_bytes(b"no picture")
    return folder


def test_tuning_report(study, tmp_path):
    write.write_tuning_report(study[0].tuning[0], tmp_path / "tuning.html")
    page = (tmp_path / "tuning.html").read_text()
    assert Page(page).open == []
    assert page.count("<svg") == 2
    assert "learning rate 80 %" in page
