"""How each network is trained: the settings of a run and of a search, and their values by recipe.

`standard`  each network trained properly, on the `standard` preprocessing
`baseline`  what the baseline study did, mistakes included: its preprocessing, Adam at 1e-4, no augmentation, no
            class balance, early stopping after 5 epochs without going back to the best weights; MobileNet and ResNet
            see pixels that went through their ImageNet preprocessing twice and end in a 4-way softmax
`fast`      a first result in seconds: `compact` on images of half the side for two epochs
`release`   for images of hospitals that the network has not seen: many sources, sampled so that none tells the class;
            transplanted and drawn tumors, stripped skulls, and the artifacts of other scanners
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from brainsift.core.errors import UsageError
from brainsift.core.shares import check_share
from brainsift.images.preprocess import PREPROCESSINGS

RECIPES = ("standard", "baseline", "fast", "release")
SCHEDULES = ("cosine", "constant")
SAMPLINGS = ("images", "balanced")
PRECISIONS = ("auto", "bf16", "fp32")
LOGS = ("none", "tensorboard", "mlflow")
RELEASE_MODEL = "lite0"
SEARCHABLE = ("learning_rate", "dropout", "weight_decay", "augment", "label_smoothing")
_GREY_ONLY = ("strip", "transplant", "drawn", "findings", "reframed", "letters")  # need one channel, or masks that fit
_LEAST_SIZE = {"baseline-cnn": 46}  # nothing is left of fewer pixels after its four poolings; others halve five times


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run: the argument, the flags and the JSON in the run folder.

    Attributes:
        model: baseline-cnn, compact, lite0, lite0-slim, mobilenet or resnet50.
        recipe: standard, baseline (the baseline study's, mistakes included), fast (seconds, `compact` only) or
            release (the network that ships).
        preprocessing: standard or baseline.
        size: side of the input, pixels; at least 32, for baseline-cnn 46.
        epochs: passes over the training set.
        batch_size: images per step, over all processes.
        learning_rate: peak learning rate.
        weight_decay: AdamW, on weights of convolutions and dense layers.
        dropout: share of features dropped before the last layer.
        schedule: cosine (after a warm-up) or constant.
        label_smoothing: 0 to 0.5.
        augment: strength of augmentation, 0 to 1.
        progressive: train the first epochs on smaller images; not for baseline-cnn.
        balance: give both classes the same weight in the loss.
        sampling: images (each once per epoch), or balanced: drawn so that neither source, contrast nor plane tells the
            class, and near-duplicates count little, in the validation loss too.
        epoch_images: images per epoch; 0 for as many as the training set has.
        artifacts: strength of simulated contrast curves, bias fields, noise and lost resolution, 0 to 1.
        turned: share of images turned by a quarter or by half.
        strip: share of images whose skull is stripped.
        transplant: share of images that get the tumor of another image, or lose their own; it needs training on
            segmentation masks, see outline_weight.
        drawn: share of tumor-free images that get a drawn tumor; it needs training on segmentation masks, see
            outline_weight.
        findings: share of images that get a drawn finding that is no tumor: spots, the territory of a vessel, a
            crescent under the skull, wide ventricles; it needs training on segmentation masks, see outline_weight.
        reframed: share of images that are cut to a part of the head and stretched.
        letters: share of images that get a burned-in letter.
        outline_weight: weight of segmentation masks in the loss; 0 for none. Without effect where no training image has
            a mask, the network draws no tumor map (compact and both lite0 do), or the preprocessing is baseline.
        average: time constant of the moving average of weights, in epochs; 0 for none.
        patience: epochs without a better validation loss before stopping.
        keep_best: return to the weights with the best validation loss.
        best_before: validation loss below which an epoch counts as better.
        weights: ImageNet weights: auto (from a package for compact and both lite0, else the hub), none, or a file; or
            the network.onnx of a bundle of compact or of either lite0, to train it further. From those of lite0,
            lite0-slim takes what matters most.
        frozen: number of blocks at the front that keep their ImageNet weights.
        teachers: folders of bundles whose answers the network learns; they have to take the same input.
        taught: share of the loss that is against what the teachers say, 0 to 1; the rest is against labels and masks.
        seed: of all random generators.
        device: auto, cpu, cuda (or cuda:1, ...) or mps.
        precision: auto, bf16 or fp32.
        threads: of the CPU; 0 for torch's own choice.
        log: none, tensorboard or mlflow.

    Raises:
        UsageError: a value out of its range.
    """

    model: str = "compact"
    recipe: str = "standard"
    preprocessing: str = "standard"
    size: int = 128
    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.2
    schedule: str = "cosine"
    label_smoothing: float = 0.05
    augment: float = 0.5
    progressive: bool = False
    balance: bool = True
    sampling: str = "images"
    epoch_images: int = 0
    artifacts: float = 0.0
    turned: float = 0.0
    strip: float = 0.0
    transplant: float = 0.0
    drawn: float = 0.0
    findings: float = 0.0
    reframed: float = 0.0
    letters: float = 0.0
    outline_weight: float = 1.0
    average: float = 0.5
    patience: int = 8
    keep_best: bool = True
    best_before: float | None = None
    weights: str = "auto"
    frozen: int = 0
    teachers: tuple[str, ...] = ()
    taught: float = 0.7
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    log: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "teachers", tuple(self.teachers))  # JSON knows lists alone
        for name, known in _NAMES.items():
            value = getattr(self, name)
            _check(name, value in known, f"must be one of {known}, not {value!r}")
        fits = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)
        _check("device", bool(fits), f"must be auto, cpu, cuda, cuda:N or mps, not {self.device!r}")
        size = _LEAST_SIZE.get(self.model, 32)
        for name, least in {"size": size, "epochs": 1, "batch_size": 2, "patience": 1}.items():
            value = getattr(self, name)
            _check(name, value >= least, f"must be at least {least}, not {value}")
        _check("learning_rate", self.learning_rate > 0, f"must be positive, not {self.learning_rate}")
        _check("dropout", check_share("dropout", self.dropout) < 1, "must be less than 1, or nothing is left")
        check_share("label_smoothing", self.label_smoothing, high=0.5)
        one_size = self.model == "baseline-cnn"
        _check(
            "progressive", not (self.progressive and one_size), f"must be off for {self.model}, which takes one size"
        )
        if self.preprocessing != "standard":
            given = [name for name in _GREY_ONLY if getattr(self, name)]
            _check(", ".join(given), not given, f"must be 0 with the preprocessing {self.preprocessing}")
        for name in ("augment", "artifacts", "turned", "taught", *_GREY_ONLY):
            check_share(name, getattr(self, name))


_NAMES = {
    "recipe": RECIPES,
    "preprocessing": PREPROCESSINGS,
    "schedule": SCHEDULES,
    "sampling": SAMPLINGS,
    "precision": PRECISIONS,
    "log": LOGS,
}


def _check(argument: str, holds: bool, rule: str, remedy: str = "Choose another value, or leave it out.") -> None:
    if not holds:
        raise UsageError(argument, rule, remedy)


@dataclass(frozen=True)
class TuneConfig:
    """The settings of a search.

    Attributes:
        trials: finished trials, pruned ones included.
        trial_epochs: epochs per trial.
        search: what to search: learning_rate, dropout, weight_decay, augment, label_smoothing.
        seed: of the search and of each trial.

    Raises:
        UsageError: a setting that cannot be searched, or no trial.
    """

    trials: int = 20
    trial_epochs: int = 6
    search: tuple[str, ...] = ("learning_rate", "dropout")
    seed: int = 0

    def __post_init__(self) -> None:
        _check("trials", self.trials >= 1, f"must be at least 1, not {self.trials}")
        unknown = [name for name in self.search if name not in SEARCHABLE]
        _check("search", not unknown, f"must be of {', '.join(SEARCHABLE)}, not {unknown}")


_STANDARD: dict[str, dict[str, Any]] = {
    "compact": {
        "epochs": 12,
        "average": 1.0,
        "learning_rate": 1e-3,
        "batch_size": 32,
        "frozen": 5,
        "sampling": "balanced",
        "balance": False,  # in the loss: the sampling balances
    },
    "baseline-cnn": {
        "epochs": 20,
        "learning_rate": 5e-4,  # at 1e-3 the L2 penalty wins and the network dies
        "dropout": 0.4,
        "batch_size": 32,
        "weight_decay": 0.0,
        "augment": 0.1,
        "label_smoothing": 0.0,
    },
    "lite0": {"epochs": 6, "learning_rate": 1e-3, "batch_size": 32, "frozen": 4},
    "lite0-slim": {"epochs": 6, "learning_rate": 1e-3, "batch_size": 32},
    "mobilenet": {"epochs": 6, "learning_rate": 1e-3, "batch_size": 32},
    "resnet50": {"size": 64, "epochs": 12, "learning_rate": 1e-3, "batch_size": 32, "augment": 0.25},
}
MODELS = tuple(_STANDARD)
_FAST: dict[str, Any] = {
    "size": 64,
    "epochs": 2,
    "average": 0.5,
    "augment": 0.1,
    "outline_weight": 0.0,
    "sampling": "images",
    "balance": True,
}
_RELEASE: dict[str, Any] = {
    "epochs": 32,
    "epoch_images": 8192,
    "learning_rate": 1.5e-3,
    "batch_size": 64,
    "sampling": "balanced",
    "balance": False,
    "augment": 0.7,
    "artifacts": 0.5,
    "turned": 0.1,
    "strip": 0.2,
    "transplant": 0.3,
    "drawn": 0.25,
    "letters": 0.05,
    "average": 3.0,
    "patience": 1000,  # single epochs swing on unseen sources; the average of the last ones does not
    "keep_best": False,
}
_BASELINE: dict[str, Any] = {
    "recipe": "baseline",
    "preprocessing": "baseline",
    "epochs": 20,
    "batch_size": 32,
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "dropout": 0.4,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augment": 0.0,
    "balance": False,
    "average": 0.0,
    "patience": 5,
    "keep_best": False,
}


def make_config(model: str, recipe: str = "standard", **settings: Any) -> TrainConfig:
    """Returns the settings of a recipe for a model, with some of them replaced.

    Raises:
        UsageError: no such model, recipe or value.
    """
    if model not in MODELS:
        raise UsageError("model", f"must be one of {', '.join(MODELS)}, not {model!r}", "Choose one of them.")
    if recipe == "fast" and model != "compact":
        raise UsageError("recipe", f"`fast` is for compact, not {model}", "Choose another recipe, or compact.")
    own = {"standard": {}, "fast": _FAST, "release": _RELEASE}
    values = _BASELINE if recipe == "baseline" else {**_STANDARD[model], **own.get(recipe, {}), "recipe": recipe}
    return replace(TrainConfig(model=model, **values), **settings)
