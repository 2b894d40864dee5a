"""The threshold decides as Python does, for images and for volumes."""

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import requests
from playwright.sync_api import expect

from brainsift.cli.main import main
from brainsift.core.reasons import Reason
from brainsift.inference.bundle import load_bundle, write_bundle
from brainsift.inference.decision import Prediction, log_odds, make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes
from brainsift.serve.schemas import SliceResult, VolumeResult
from brainsift.volumes.acquisition import UNKNOWN

from .actions import WORDS, called, download, drop, read_counts, wait_until, wait_until_scored

pytestmark = pytest.mark.browser


def decided(page):
    """How many cases have each decision; those that need a look have one, too."""
    return {label: count for label, count in read_counts(page).items() if label != "Needs a look"}


def test_a_threshold_decides_the_whole_list_anew(open_page, images, expected, bundle):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))

    def told(**choice):
        answers = Predictor(bundle, threads=1, **choice).predict(images)
        found = Counter(called(answer) for answer in answers)
        return {label: found[label] for label in WORDS.values()} | {"All": len(images)}

    def limits(wanted):
        of_slices, of_volumes = f"{bundle.threshold(wanted):.3f}", f"{bundle.volume_threshold(wanted):.3f}"
        return of_slices if of_slices == of_volumes else f"{of_slices}, volumes {of_volumes}"

    for name in ("Screening", "Confirm", "Even", "Balanced"):
        page.locator("#threshold-names label", has_text=name).click()
        expect(page.locator("#threshold-value")).to_have_text(limits(name.lower()))
        named = told(threshold=name.lower())
        wait_until(page, lambda named=named: decided(page) == named)
    page.locator("#sensitivity").fill("0.97")
    expect(page.locator("#threshold-value")).to_have_text(limits(0.97))
    wanted = told(threshold=0.97)
    wait_until(page, lambda: decided(page) == wanted)
    promised = min(bundle.margins, key=float)
    page.locator("#max-error").select_option(promised)
    expect(page.locator("input[name=threshold]:checked")).to_have_count(0)
    page.locator("#max-error").select_option("never")
    expect(page.locator("#threshold-value")).to_have_text(limits(0.97))
    page.locator("#max-error").select_option(promised)
    page.locator("#threshold-names label", has_text="Even").click()
    expect(page.locator("#threshold-name")).to_have_text("Even")
    page.locator("#max-error").select_option(promised)
    referred = told(max_error=float(promised))
    wait_until(page, lambda: decided(page) == referred)
    assert len({json.dumps(one, sort_keys=True) for one in (told(), wanted, referred)}) > 1
    page.reload()  # the choice and the cases outlive it
    wait_until_scored(page, len(images))
    expect(page.locator("#max-error")).to_have_value(promised)
    wait_until(page, lambda: decided(page) == referred)


def test_a_volume_has_a_threshold_of_its_own(open_page, serving, files, tmp_path, bundle):
    scan, old = files / "head.nii.gz", replace(bundle, volumes=None)  # of two bundles one says how volumes are decided
    for kind, one in (("own", bundle), ("old", old)):
        folder, default = tmp_path / kind, "confirm"
        (volume,) = summarise_volumes(Predictor(one, threads=1).predict([scan]), make_rule(one))
        limits = {"balanced": volume.probability - 0.01, "confirm": volume.probability + 0.01, "even": 0.5}
        shutil.copytree(one.folder, folder)
        own = one.volumes and replace(one.volumes, thresholds=limits, suspicion=volume.probability - 0.2)
        changed = {"volumes": own} if own else {"thresholds": limits}
        write_bundle(replace(one, folder=folder, **changed))
        arguments = ["--bundle", str(folder), "--threads", "1"]

        def told(*wanted, arguments=arguments):
            main(["predict", *arguments, *wanted, str(scan), "--volumes", str(tmp_path / "v.csv")])
            (found,) = csv.DictReader((tmp_path / "v.csv").read_text().splitlines())
            return found["decision"], found["finding"], float(found["threshold"])

        with serving(load_bundle(folder), threads=1) as running:
            page = open_page(running.url)
            drop(page, [scan])
            wait_until_scored(page, 1)
            for name in ("", "balanced", "confirm"):
                if name:
                    page.locator("#threshold-names label", has_text=name.capitalize()).click()
                limit = limits[name or default]
                decision = "tumor" if volume.probability >= limit else "no_tumor"
                finding = "tumor" if decision == "tumor" else volume.in_words("suspicious")
                assert told(*(["--threshold", name] if name else [])) == (decision, finding, limit)
                parts = [("files", (scan.name, scan.read_bytes()))]
                reply = requests.post(
                    f"{running.url}/api/v1/predict", files=parts, params={"threshold": name} if name else {}
                )
                answered = reply.json()["volumes"]
                assert [(one["decision"], one["finding"], one["threshold"]) for one in answered] == [
                    (decision, finding, limit)
                ]
                shown = WORDS[decision] if decision == "tumor" else "Suspicious"
                expect(page.locator("#prediction .decision")).to_have_text(shown)
                words = "reaches the threshold" if decision == "tumor" else f"{finding[0].upper()}{finding[1:]}."
                expect(page.locator("#prediction-words")).to_contain_text(words)
                expect(page.locator("#prediction-scale")).to_contain_text(f"threshold {limit:.3f}")
                saved = json.loads(download(page, "#export-json"))["volumes"]
                assert [(one["decision"], one["finding"], one["threshold"]) for one in saved] == [
                    (decision, finding, limit)
                ]


RULES = """async (cases) => {
  const { decide, decideVolume, makeRule, mostSuspicious, ofVolumes } = await import("/page/decide.js");
  const model = await (await fetch("/api/v1/model")).json();
  return cases.map(({choice, answers, volume}) => {
    const rule = makeRule(choice, model);
    const {decision, probability, reason, finding} = decideVolume(volume, ofVolumes(rule));
    const suspicious = mostSuspicious(answers);
    const decisions = answers.map((one) => decide(one, rule));
    return [ofVolumes(rule).threshold, decisions, decision, probability, reason, suspicious, finding];
  });
}"""


def test_the_rules_of_the_page_are_those_of_python(open_page, bundle):
    rng = np.random.default_rng(3)
    wishes = [({}, {}), ({"sensitivity": 0.97}, {"threshold": 0.97})]
    wishes += [({"name": name}, {"threshold": name}) for name in bundle.thresholds]
    wishes += [({"maxError": float(share)}, {"max_error": float(share)}) for share in bundle.margins]
    limits = [threshold for _, threshold in bundle.sensitivities] + list(bundle.thresholds.values())
    cases, expected = [], []
    for turn in range(200):
        choice, wanted = wishes[turn % len(wishes)]
        rule = make_rule(bundle, **wanted)
        answers = []
        for place in range(rng.integers(2, 9)):
            status = rng.choice(["ok", "ok", "ok", "not_brain_mri", "unreadable"])
            probability = None if status == "unreadable" else round(float(rng.beta(2, 1)) ** 0.2, 6)
            logit = None if probability is None else log_odds(probability)
            if turn % 10 == 0 and logit is not None:  # the score of an image of the validation set
                logit = log_odds(rng.choice(limits))
            decision = "" if logit is None else "refer"
            decision = rule.decide(logit) if status == "ok" else decision
            why = rng.choice([Reason.BLANK, Reason.HARDLY_ANY_HEAD]) if status == "not_brain_mri" else Reason.NONE
            answers.append(Prediction(str(place), str(status), logit, decision, Reason(why), volume="v"))
        (volume,) = summarise_volumes(answers, rule)
        (other,) = summarise_volumes(answers, make_rule(bundle))  # the page decides by another rule than the job's
        told = volume.decision
        if volume.probability is None:
            told = "unreadable" if {answer.status for answer in answers} == {"unreadable"} else "not_brain_mri"
        suspicious = [int(name) for name in volume.suspicious]
        decisions = [one.decision if one.status == "ok" else one.status for one in answers]
        expected.append(
            [volume.threshold, decisions, told, volume.probability, volume.reason, suspicious, volume.finding]
        )
        sent = [SliceResult.of(0, one, UNKNOWN, file=0, maps=False).model_dump(mode="json") for one in answers]
        cases.append({"choice": choice, "answers": sent, "volume": VolumeResult.of(other).model_dump(mode="json")})
    found = open_page().evaluate(RULES, cases)
    assert found == expected
    assert len({one[2] for one in expected}) > 2 and len({one[4] for one in expected}) > 3
    assert any(one[6].startswith("suspicious, look at slices") for one in expected)


def test_the_panel_folds_to_one_line_on_low_screens_and_once_it_was_used(open_page, images):
    panel = ".threshold"
    low = open_page(viewport={"width": 1280, "height": 640})
    assert not low.locator(panel).evaluate("one => one.open")
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    assert page.locator(panel).evaluate("one => one.open")
    page.locator("#threshold-names label", has_text="Even").click()
    page.reload()
    expect(page.locator("body[data-ready=true]")).to_be_attached()
    assert not page.locator(panel).evaluate("one => one.open")
    expect(page.locator("#threshold-name")).to_have_text("Even")
    wait_until_scored(page, 1)
    page.locator(f"{panel} summary").click()
    page.reload()
    expect(page.locator("body[data-ready=true]")).to_be_attached()
    assert page.locator(panel).evaluate("one => one.open")
