"""The settings of a study, without the packages that a study needs."""

from dataclasses import dataclass, replace

from brainsift.core.errors import UsageError
from brainsift.training.recipes import MODELS


@dataclass(frozen=True)
class StudyConfig:
    """What a study does.

    Attributes:
        models: the networks to compare.
        protocols: random (as in the baseline study; leaky), grouped, or both.
        folds: folds of protocol grouped for the light networks.
        heavy_folds: folds of protocol grouped for mobilenet and resnet50.
        baseline_protocols: protocols in which to train also as the baseline study did, mistakes included.
        tune_models: networks, of those compared, whose learning rate and dropout are searched on the validation set
            of the first fold.
        trials: of each search.
        trial_epochs: epochs of each trial.
        mobilenet_weights: ImageNet weights: auto (hub), none, or a file.
        resnet50_weights: ImageNet weights: auto (hub), none, or a file.
        size: side of the input, pixels; 0 for each recipe's own.
        quick: a first impression in minutes: a sample of the images, small inputs, few epochs, one fold, no search.
        seed: of all randomness.
        threads: of the CPU; 0 for torch's own choice.

    Raises:
        UsageError: an unknown network, or a protocol that a study does not have.
    """

    models: tuple[str, ...] = ("baseline-cnn", "compact", "mobilenet", "resnet50")
    protocols: tuple[str, ...] = ("random", "grouped")
    folds: int = 5
    heavy_folds: int = 1
    baseline_protocols: tuple[str, ...] = ("random", "grouped")
    tune_models: tuple[str, ...] = ("baseline-cnn", "compact")
    trials: int = 10
    trial_epochs: int = 4
    mobilenet_weights: str = "auto"
    resnet50_weights: str = "auto"
    size: int = 0
    quick: bool = False
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        known = {"models": MODELS, "tune_models": MODELS, "protocols": ("random", "grouped")}
        for argument, names in known.items():
            unknown = sorted(set(getattr(self, argument)) - set(names))
            if unknown:
                rule = f"must be of {', '.join(names)}, not {unknown}"
                raise UsageError(argument, rule, "Choose from these names.")

    def quickened(self) -> "StudyConfig":
        """Returns the settings of a quick study."""
        return replace(self, quick=True, size=64, folds=5, heavy_folds=1, tune_models=())
