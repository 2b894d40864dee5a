"""What ships: a folder with the network (ONNX) and all that is needed to use it rightly.

network.onnx   float32 images (n, channels, size, size) in [0, 1] -> logits (n,); where the network draws a map, also
               tumor_map (n, h, w), logits, and features (n, k)
scope.npz      what features head slices have, where the network gives them; see `scope`
bundle.json    preprocessing, labels, temperature, thresholds, provenance, and the checksums of the other files
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brainsift.core.errors import BundleError, UsageError
from brainsift.core.files import read_json, sha256_of, write_json
from brainsift.core.labels import CLASS_NAMES
from brainsift.core.shares import check_share
from brainsift.images import standard
from brainsift.inference.familiarity import Familiarity

SCHEMA = 2
SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the bundle that comes with the package."""


@dataclass(frozen=True)
class Bundle:
    """A network and how to use it.

    Attributes:
        folder: where it stands.
        name: of the network.
        preprocessing: "standard" or "baseline".
        size: side of the input, pixels.
        temperature: the logits are divided by it (Guo et al. 2017).
        thresholds: on the calibrated probability, by name.
        sensitivities: pairs of a sensitivity and the largest threshold that reached it on validation data.
        margins: by the largest share of wrong answers, how far the calibrated logit has to be from 0 so that an
            answer is given; see `calibration.margins`.
        provenance: data, settings, figures, versions.
        notice: what the user has to know.
    """

    folder: Path
    name: str
    preprocessing: str
    size: int
    temperature: float
    thresholds: dict[str, float]
    sensitivities: list[list[float]] = field(default_factory=list)
    margins: dict[str, dict[str, float]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notice: str = "Research use only. Not a medical device."

    @property
    def network(self) -> Path:
        """Path of the ONNX file."""
        return self.folder / "network.onnx"

    @property
    def scope(self) -> Path:
        """Path of the file about what the network can judge; not there for every network."""
        return self.folder / "scope.npz"

    def familiarity(self) -> Familiarity | None:
        """Returns what the network can judge, None where the bundle does not say."""
        return Familiarity.load(self.scope) if self.scope.is_file() else None

    def threshold(self, wanted: str | float) -> float:
        """Returns a threshold by its name, or the one for a wanted sensitivity.

        Raises:
            UsageError: no such name, or a sensitivity that validation data cannot promise.
        """
        if isinstance(wanted, str):
            if wanted not in self.thresholds:
                raise UsageError(
                    "threshold", f"must be one of {', '.join(self.thresholds)}, not {wanted!r}", "Choose one of them."
                )
            return self.thresholds[wanted]
        check_share("sensitivity", wanted)
        reached = [threshold for sensitivity, threshold in self.sensitivities if sensitivity >= wanted]
        if not reached:
            rule = f"no threshold is known for {wanted}"
            raise UsageError("sensitivity", rule, "Choose one from 0.5 to 0.995, such as 0.95.")
        return max(reached)

    def margin(self, max_error: float) -> float:
        """Returns how far a calibrated logit has to be from 0, where the answer is its sign.

        Raises:
            UsageError: a share of wrong answers that validation data cannot promise.
        """
        check_share("max_error", max_error)
        known = {float(share): found["margin"] for share, found in self.margins.items()}
        promised = [margin for share, margin in known.items() if share <= max_error]
        if not promised:
            words = f"What can be: {', '.join(self.margins)}." if self.margins else _NO_PROMISE
            raise UsageError("max_error", f"{max_error} cannot be promised", words)
        return min(promised)


_NO_PROMISE = (
    "This bundle can promise nothing: `calibrate` needs more patients, and the patient of each image in a CSV."
)
_FIELDS = tuple(name for name in Bundle.__dataclass_fields__ if name != "folder")


def write_bundle(bundle: Bundle) -> None:
    """Writes bundle.json beside the other files, which are there already."""
    values = asdict(bundle)
    del values["folder"]
    write_json(
        bundle.folder / "bundle.json",
        {
            "schema": SCHEMA,
            "intensity": standard.VERSION,
            "labels": list(CLASS_NAMES),
            "checksums": {path.name: sha256_of(path.read_bytes()) for path in _parts(bundle)},
            **values,
        },
    )


def load_bundle(folder: Path = SHIPPED) -> Bundle:
    """Loads a bundle; the one that comes with the package by default.

    Raises:
        BundleError: missing, altered, or made for another version of brainsift.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        raise BundleError(folder, "holds no bundle.json", "Make a bundle with `brainsift export RUN -o DIR`.")
    values = read_json(path)
    missing = [name for name in _FIELDS if not isinstance(values, dict) or name not in values]
    if missing:
        raise BundleError(path, f"lacks {', '.join(missing)}", "Export it again with this version of brainsift.")
    for name, expected in (("schema", SCHEMA), ("intensity", standard.VERSION), ("labels", list(CLASS_NAMES))):
        if values.get(name) != expected:
            raise BundleError(
                path,
                f"was made for another version: {name} is {values.get(name)!r}, this version reads {expected!r}",
                "Export it again with this version of brainsift.",
            )
    bundle = Bundle(folder=folder, **{name: values[name] for name in _FIELDS})
    found = {part.name: sha256_of(part.read_bytes()) for part in _parts(bundle)}
    if bundle.network.name not in found or found != values.get("checksums"):
        raise BundleError(folder, "has a file that is missing or altered: checksums differ", "Export it again.")
    return bundle


def _parts(bundle: Bundle) -> list[Path]:
    return [path for path in (bundle.network, bundle.scope) if path.is_file()]
