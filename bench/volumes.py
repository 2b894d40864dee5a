"""How well whole volumes are decided, and a bundle with what decides them.

    fit       fits what decides volumes to the validation patients, and writes it into a bundle (as `export` does)
    features  what else of the slices might decide, by leaving out one validation patient at a time
    test      the bundle on series of the test patients
    heads     the bundle on whole volumes that choose nothing

Usage:
    python bench/volumes.py fit BUNDLE SPLIT
    python bench/volumes.py features BUNDLE SPLIT
    python bench/volumes.py test BUNDLE SPLIT
    python bench/volumes.py heads BUNDLE ../shared/data/volumes/heads

SPLIT is the split.csv of the run that the bundle comes from.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainsift.core.text import cell, markdown_table
from brainsift.datasets.manifest import read_manifest
from brainsift.deployment.volume_fit import (
    SubSeries,
    draw_series,
    fit_volumes,
    labels_of,
    largest_mean_logit,
    left_out_log_odds,
    patients_of,
    rule_without_model,
    score_series,
)
from brainsift.images.decode import decode
from brainsift.inference.bundle import Bundle, load_bundle, write_bundle
from brainsift.inference.decision import Prediction, log_odds, make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volume
from brainsift.inference.volume_model import ADJACENT, largest_mean
from brainsift.stats import calibration, metrics
from brainsift.stats.intervals import Interval
from brainsift.volumes.reader import read_volume

Floats = npt.NDArray[np.float64]
RESAMPLES = 1000


def main() -> None:
    """Fits or measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions: dict[str, Callable[[Bundle, Path], None]] = {
        "fit": fit,
        "features": compare_features,
        "test": score_test,
        "heads": score_volumes,
    }
    parser.add_argument("action", choices=actions)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path, help="split.csv; of `heads` a folder with manifest.csv")
    arguments = parser.parse_args()
    actions[arguments.action](load_bundle(arguments.bundle), arguments.data)


def fit(bundle: Bundle, split: Path) -> None:
    """Writes what decides volumes into the bundle."""
    table, _ = scored(bundle, split, "validation")
    found = fit_volumes(table)
    if found is None:
        raise SystemExit(f"{split} has too few validation patients with several slices")
    model, scores = found
    write_bundle(replace(bundle, volumes=model, provenance={**bundle.provenance, "volumes": scores.to_json()}))
    print(f"log-odds {model.slope:.3f} x mean {model.intercept:+.3f}, suspicious from {model.suspicion:.3f}")
    print(", ".join(f"{name} {value:.3f}" for name, value in model.thresholds.items()))
    print(f"{scores.n_tumor} patients with a tumor, {scores.n_free} with tumor-free series")
    print_scores({"before": scores.before, "fitted": scores.scores})


def score_test(bundle: Bundle, split: Path) -> None:
    """Scores series of the test patients, by the bundle and by the rule without a model."""
    table, _ = scored(bundle, split, "test")
    drawn, logits = draw_series(table), table["logit"].to_numpy(np.float64)
    if bundle.volumes is None or not drawn:
        raise SystemExit("the bundle does not say how volumes are decided, or there are too few test patients")
    model, before = bundle.volumes, make_rule(replace(bundle, volumes=None))
    found = np.array([model.log_odds(largest_mean_logit(logits[one.rows])) for one in drawn])
    old = np.array([rule_without_model(logits[one.rows]) for one in drawn])
    labels, patients = labels_of(drawn), patients_of(drawn)
    counts = [len(set(patients[labels == label])) for label in (1, 0)]
    print(f"{counts[0]} patients with a tumor, {counts[1]} with tumor-free series")
    print_scores(
        {
            "before": score_series(old, drawn, before.of_volumes.threshold),
            "fitted": score_series(found, drawn, model.thresholds["balanced"]),
        }
    )


def score_volumes(bundle: Bundle, folder: Path) -> None:
    """Scores whole volumes, by the bundle and by the rule without a model."""
    predictor = Predictor(bundle)
    rules = {"before": make_rule(replace(bundle, volumes=None)), "fitted": make_rule(bundle)}
    cases = pd.read_csv(folder / "manifest.csv")
    rows, results = [], {name: list[tuple[float, float, str]]() for name in rules}
    for case in cases.itertuples():
        slices = list(predictor.predict_slices(read_volume(folder / str(case.path)).slices))
        row = [str(case.path), str(case.label)]
        for name, rule in rules.items():
            one = summarise_volume(slices, rule)
            results[name].append((float(case.label), -99.0 if one.logit is None else one.logit, one.state))
            row += ["" if one.probability is None else f"{one.probability:.3f}", one.finding]
        rows.append(row)
    print(markdown_table(("volume", "tumor", "before", "", "fitted", ""), rows))
    for name, found in results.items():
        labels, values, states = map(np.array, zip(*found, strict=True))
        area = metrics.scores(labels, calibration.apply(values, 1.0))["roc_auc"]
        told = {label: pd.Series(states[labels == label]).value_counts().to_dict() for label in (1.0, 0.0)}
        print(f"{name}: ROC AUC {area:.3f}; with a tumor {told[1.0]}; without {told[0.0]}")


def compare_features(bundle: Bundle, split: Path) -> None:
    """Compares what else of the slices might decide: log loss against the mean logit alone, and ROC AUC."""
    table, predictions = scored(bundle, split, "validation")
    drawn, logits, threshold = draw_series(table), table["logit"].to_numpy(np.float64), bundle.threshold("balanced")

    def column(feature: Callable[[Floats, list[Prediction]], float]) -> Floats:
        return np.array([feature(logits[one.rows], [predictions[row] for row in one.rows]) for one in drawn])

    mean = column(lambda z, _: largest_mean_logit(z))
    known = {
        "mean probability (the rule without a model)": [column(lambda z, _: rule_without_model(z))],
        "mean logit": [mean],
        "the largest logit": [column(lambda z, _: float(z.max()))],
        "mean logit, log of the number of slices": [mean, np.log([len(one.rows) for one in drawn])],
        "mean logit, share of slices above the threshold": [
            mean,
            column(lambda z, _: float((z >= log_odds(threshold)).mean())),
        ],
        "mean logit, mean probability of all slices": [
            mean,
            column(lambda z, _: float(calibration.apply(z, 1.0).mean())),
        ],
        "mean logit, maps of three slices at one place": [mean, column(lambda _, slices: largest_common_place(slices))],
    }
    labels, patients = labels_of(drawn), patients_of(drawn)
    lengths, levels = np.array([(len(one.rows), one.level) for one in drawn]).T
    for name, seen in (("length", lengths), ("level", levels)):
        area = metrics.scores(labels, (seen - seen.min()) / np.ptp(seen))["roc_auc"]
        print(f"probe that sees only the {name}: ROC AUC {area:.3f}")
    found = {name: left_out_probabilities(np.column_stack(columns), drawn) for name, columns in known.items()}
    base, rows = losses(labels, found["mean logit"]), []
    for name, probabilities in found.items():
        gain = losses(labels, probabilities) - base
        low, high = np.quantile(resampled_means(gain, patients), (0.025, 0.975))
        area = metrics.scores(labels, probabilities)["roc_auc"]
        loss = log_loss(labels, probabilities)
        rows.append((name, f"{area:.3f}", f"{loss:.3f}", f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})"))
    print(markdown_table(("feature", "ROC AUC", "log loss", "against the mean logit"), rows))


def largest_common_place(slices: list[Prediction]) -> float:
    """Returns the log-odds of the tumor map, largest mean over three adjacent slices at one place."""
    maps = np.stack([np.zeros((1, 1)) if one.tumor_map is None else one.tumor_map for one in slices])
    clipped = np.clip(maps.reshape(len(maps), -1), 1e-6, 1 - 1e-6)
    values = np.log(clipped / (1 - clipped))
    return max(largest_mean(place.tolist())[0] for place in values.T[np.argsort(-values.max(axis=0))[: 8 * ADJACENT]])


def left_out_probabilities(columns: Floats, drawn: list[SubSeries]) -> Floats:
    """Returns the probabilities of a logistic regression: of each patient by what the others gave."""
    if columns.shape[1] == 1:
        return calibration.apply(left_out_log_odds(columns[:, 0], drawn), 1.0)
    labels, patients = labels_of(drawn), patients_of(drawn)
    found = np.zeros(len(drawn))
    for patient in np.unique(patients):
        held = patients == patient
        n_series = len({(one.patient, one.contrast, one.has_tumor) for one in drawn if one.patient != patient})
        weights = np.full((~held).sum(), n_series / (~held).sum())
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
        model.fit(columns[~held], labels[~held], logisticregression__sample_weight=weights)
        found[held] = model.predict_proba(columns[held])[:, 1]
    return found


def losses(labels: Floats, probabilities: Floats) -> Floats:
    """Returns the log loss of each."""
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return -np.where(labels == 1, np.log(clipped), np.log(1 - clipped))


def resampled_means(values: Floats, patients: npt.NDArray[np.str_]) -> Floats:
    """Returns means under resampling of patients."""
    rng = np.random.default_rng(0)
    sums = pd.DataFrame({"value": values, "n": 1.0, "patient": patients}).groupby("patient").sum().to_numpy()
    drawn = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    return np.asarray(sums[drawn, 0].sum(axis=1) / sums[drawn, 1].sum(axis=1))


def scored(bundle: Bundle, split: Path, part: str) -> tuple[pd.DataFrame, list[Prediction]]:
    """Returns the images of a part whose patient is known, with their calibrated logits, and their predictions."""
    table = read_manifest(split)
    table = table[(table["part"] == part) & (table["status"] == "ok") & (table["patient"] != "")]
    predictor, found = Predictor(bundle, threads=1), []
    for row in table.itertuples():
        found.append(predictor.score(decode(row.path).grey(row.channel) if row.channel else row.path))
    logits = np.array([np.nan if one.logit is None else one.logit for one in found])
    read = np.isfinite(logits) & table["label"].notna().to_numpy()
    kept = table[read].assign(logit=logits[read]).reset_index(drop=True)
    return kept, [one for one, is_read in zip(found, read, strict=True) if is_read]


def print_scores(columns: dict[str, dict[str, Interval]]) -> None:
    """Prints a table, one column for each dictionary."""
    names = list(next(iter(columns.values())))
    rows = [(name, *(cell(name, scores[name]) for scores in columns.values())) for name in names]
    print(markdown_table(("metric", *columns), rows))


if __name__ == "__main__":
    main()
