"""How does the network that ships take what scanners, screens and people do to images, and what does it refuse?

Robustness: images of the test set, or of the validation set where the test set was trained on, each changed in one
way; what that costs in accuracy and ROC AUC.
Refusal: photographs and chest X-rays (to be refused), real head slices and volumes (not to be).

Usage:
    BRAINSIFT_DATA=../shared/data python bench/model.py RELEASE/run/split.csv [--bundle DIR] [--images 600] [-o FILE]
"""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from changes import Bytes, Change, jpeg, rotated
from sklearn.metrics import roc_auc_score

from brainsift.core.files import write_json
from brainsift.core.text import markdown_table
from brainsift.datasets.manifest import read_manifest
from brainsift.images.decode import decode
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.decision import Prediction
from brainsift.inference.predictor import Predictor
from brainsift.volumes.inputs import find_images


def _noise(share: float) -> Change:
    chance = np.random.default_rng(0)
    return lambda grey: np.clip(grey + chance.normal(0, share * 255, grey.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "unchanged": lambda grey: grey,
    "noise, 5 % of the range": _noise(0.05),
    "noise, 10 % of the range": _noise(0.10),
    "turned by 15°": rotated(15),
    "turned by 90°": lambda grey: np.ascontiguousarray(np.rot90(grey)),
    "mirrored": lambda grey: np.ascontiguousarray(grey[:, ::-1]),
    "blurred, 2 pixels of 256": lambda grey: cv2.GaussianBlur(grey, (0, 0), max(grey.shape) / 128),
    "JPEG quality 10": jpeg(10),
    "half the resolution": lambda grey: cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "gamma 0.5": lambda grey: (255 * (grey / 255) ** 0.5).astype(np.uint8),
    "gamma 2": lambda grey: (255 * (grey / 255) ** 2).astype(np.uint8),
    "inverted": lambda grey: 255 - grey,
}


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="split.csv of the release's run")
    parser.add_argument("--bundle", type=Path, default=SHIPPED)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    predictor = Predictor(load_bundle(arguments.bundle))
    table = read_manifest(arguments.split)
    held_out = "test" if (table["part"] == "test").any() else "validation"  # it may have been trained on the test set
    table = table[(table["part"] == held_out) & (table["status"] == "ok") & table["label"].notna()]
    table = table.sample(min(arguments.images, len(table)), random_state=0)
    robust, refused = robustness(predictor, table), refusals(predictor)
    print(markdown_table(("change", "accuracy, %", "ROC AUC", "rejected, %"), robust))
    print()
    print(markdown_table(("images", "n", "rejected, %", "most frequent reason"), refused))
    if arguments.output:
        write_json(arguments.output, {"robustness": robust, "refusals": refused})


def robustness(predictor: Predictor, table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Scores the images of a table after each change."""
    greys = [_bytes(decode(row.path).grey(row.channel)) for row in table.itertuples()]
    labels, rows = table["label"].to_numpy(), []
    for name, change in CHANGES.items():
        answers = [predictor.score(change(grey)) for grey in greys]
        read = np.array([answer.probability is not None for answer in answers])
        p = np.array([answer.probability for answer in answers if answer.probability is not None])
        right = ((p >= predictor.threshold) == labels[read]).mean()
        auc = roc_auc_score(labels[read], p)
        rows.append((name, f"{right * 100:.1f}", f"{auc:.3f}", f"{_refused(answers) * 100:.1f}"))
    return rows


def refusals(predictor: Predictor) -> list[tuple[str, str, str, str]]:
    """Counts what is refused among things that are no head slices, and among head slices never trained on."""
    data = Path(os.environ.get("BRAINSIFT_DATA", "../shared/data"))
    folders = {
        "photographs": data / "not_brain_mri" / "photos",
        "chest X-rays": data / "not_brain_mri" / "chest_xray",
        **{
            f"external {folder.name}": folder
            for folder in sorted((data / "external").iterdir())
            if folder.is_dir() and folder.name != "masks"
        },
        "volumes": data / "volumes",
    }
    rows = []
    for name, folder in folders.items():
        paths = [path for path in find_images([folder]) if "masks" not in Path(path).parts]
        answers = list(predictor.predict(paths))
        reasons = pd.Series([answer.detail for answer in answers if answer.status == "not_brain_mri"])
        common = reasons.str.replace(r"\d+", "…", regex=True).mode() if len(reasons) else [""]
        rows.append((name, str(len(answers)), f"{_refused(answers) * 100:.1f}", str(common[0])))
    return rows


def _refused(answers: Iterable[Prediction]) -> float:
    return float(np.mean([answer.status == "not_brain_mri" for answer in answers]))


def _bytes(grey: npt.NDArray[np.generic]) -> Bytes:
    return grey if grey.dtype == np.uint8 else (grey / (grey.max() or 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
