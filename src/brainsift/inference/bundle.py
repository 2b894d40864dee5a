"""What ships: a folder with the network (ONNX) and all that is needed to use it rightly.

network.onnx   float32 images (n, channels, size, size) in [0, 1] -> logits (n,); where the network draws a map, also
               tumor_map (n, h, w), logits, and features (n, k)
scope.npz      the features of known head slices and of other images, where the network gives features; see
               `familiarity`
kinds.npz      a model of the kind of tumor on those features, where the bundle has one; see `kinds`
bundle.json    preprocessing, labels, temperature, thresholds, how volumes are decided, provenance, and the checksums of
               the other files
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from brainsift.core.errors import BundleError, InputError, UsageError
from brainsift.core.files import read_json, sha256_of, write_json
from brainsift.core.labels import CLASS_NAMES
from brainsift.core.records import JsonObject
from brainsift.core.shares import check_share
from brainsift.images import standard
from brainsift.inference.familiarity import Familiarity
from brainsift.inference.kinds import Kinds
from brainsift.inference.volume_model import VolumeModel

if TYPE_CHECKING:
    from brainsift.inference.provenance import Provenance

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the bundle that comes with the package."""
_WITHOUT_VOLUMES = 2
"""Version of bundle.json before it said how volumes are decided; all else is the same."""
_AGAIN = "Export it again with this version of brainsift."
_NO_PROMISE = (
    "This bundle can promise nothing. Run `calibrate` with more patients, and the patient of each image in a CSV."
)


@dataclass(frozen=True)
class Bundle:
    """A network and how to use it.

    Attributes:
        SCHEMA: version of bundle.json.
        folder: with its files.
        name: of the network.
        preprocessing: "standard" or "baseline".
        size: side of the input, pixels.
        temperature: the logits are divided by it (Guo et al. 2017).
        thresholds: on the calibrated probability, by name.
        sensitivities: pairs of a sensitivity and the largest threshold that reached it on validation data.
        margins: by the largest share of wrong decisions, the abstention margin: how far the calibrated logit has to be
            from 0 so that an image is not referred; see `calibration.margins`.
        provenance: data, settings, figures, versions, as bundle.json holds them; see `facts`.
        notice: what the user has to know.
        volumes: what decides a volume as a whole; None where the bundle does not say, and the rule of three adjacent
            slices decides, see `summarise_volume`.
    """

    SCHEMA: ClassVar[int] = 3

    folder: Path
    name: str
    preprocessing: str
    size: int
    temperature: float
    thresholds: dict[str, float]
    sensitivities: list[list[float]] = field(default_factory=list)
    margins: dict[str, dict[str, float]] = field(default_factory=dict)
    provenance: JsonObject = field(default_factory=dict)
    notice: str = "Research use only. Not a medical device."
    volumes: VolumeModel | None = None

    @property
    def network(self) -> Path:
        """Path of the ONNX file."""
        return self.folder / "network.onnx"

    @property
    def scope(self) -> Path:
        """Path of the file with the features of known head slices; not every bundle has it."""
        return self.folder / "scope.npz"

    @property
    def kinds_model(self) -> Path:
        """Path of the file with the model of the kind of tumor; few bundles have it."""
        return self.folder / "kinds.npz"

    @property
    def facts(self) -> "Provenance":
        """How the bundle was made, and how well it does.

        Raises:
            InputError: bundle.json holds something else there.
        """
        from brainsift.inference.provenance import Provenance  # a prediction does without; its records cost start-up

        return Provenance.from_json(self.provenance, f"{self.folder / 'bundle.json'}, provenance")

    def familiarity(self) -> Familiarity | None:
        """Returns how far an image may be from the known head slices; None where the bundle does not say."""
        return Familiarity.load(self.scope) if self.scope.is_file() else None

    def kinds(self) -> Kinds | None:
        """Returns the model of the kind of tumor; None where the bundle has none, and says nothing of kinds."""
        return Kinds.load(self.kinds_model) if self.kinds_model.is_file() else None

    def threshold(self, wanted: str | float) -> float:
        """Returns a threshold by its name, or the one for a wanted sensitivity.

        Raises:
            UsageError: no such name, or a sensitivity that validation data cannot promise.
        """
        return _look_up(wanted, self.thresholds, self.sensitivities)

    def volume_threshold(self, wanted: str | float) -> float:
        """Returns the threshold for volumes by its name, or the one for a wanted sensitivity.

        It is that of slices where the bundle does not say how volumes are decided.

        Raises:
            UsageError: as `threshold` does.
        """
        if self.volumes is None:
            return self.threshold(wanted)
        return _look_up(wanted, self.volumes.thresholds, self.volumes.sensitivities)

    def threshold_name(self, threshold: float) -> str:
        """Returns the name of a threshold, of slices or of volumes; "as set" for one that has none."""
        named = [*self.thresholds.items(), *(self.volumes.thresholds.items() if self.volumes else ())]
        return next((name for name, value in named if value == threshold), "as set")

    @property
    def volumes_in_words(self) -> str:
        """How the probability of a volume comes about, in a sentence or two."""
        if self.volumes is None:
            return "The probability of a volume is the largest mean over three adjacent slices. It is not calibrated."
        return (
            "The probability of a volume is calibrated; it comes from the mean logit of three adjacent slices, where "
            "that mean is largest."
        )

    def margin(self, max_error: float) -> float:
        """Returns the abstention margin for a share of wrong decisions: how far a calibrated logit has to be from 0.

        Raises:
            UsageError: a share of wrong decisions that validation data cannot promise.
        """
        check_share("max_error", max_error)
        known = {float(share): found["margin"] for share, found in self.margins.items()}
        promised = [margin for share, margin in known.items() if share <= max_error]
        if not promised:
            remedy = f"Choose one of {', '.join(self.margins)}." if self.margins else _NO_PROMISE
            raise UsageError("max_error", f"{max_error} cannot be promised", remedy)
        return min(promised)

    def to_json(self) -> JsonObject:
        """Returns what bundle.json holds: the fields, the version of all that they depend on, and the checksums."""
        values = asdict(self)
        del values["folder"]
        return {**self._versions(), "checksums": self.checksums(), **values}

    @classmethod
    def from_json(cls, values: Any, folder: Path) -> "Bundle":
        """Returns the bundle in a folder, from the content of its bundle.json.

        Raises:
            BundleError: a field is missing, or the bundle was made for another version of brainsift.
        """
        path = folder / "bundle.json"
        if not isinstance(values, Mapping):
            raise BundleError(path, "holds no JSON object", _AGAIN)
        if values.get("schema") == _WITHOUT_VOLUMES:
            values = {**values, "schema": cls.SCHEMA, "volumes": None}
        names = [one.name for one in fields(cls) if one.name != "folder"]
        missing = [name for name in names if name not in values]
        if missing:
            raise BundleError(path, f"lacks {', '.join(missing)}", _AGAIN)
        for name, expected in cls._versions().items():
            if values.get(name) != expected:
                rule = f"was made for another version: {name} is {values.get(name)!r}, this version reads {expected!r}"
                raise BundleError(path, rule, _AGAIN)
        found = {name: values[name] for name in names}
        if found["volumes"] is not None:
            try:
                found["volumes"] = VolumeModel.from_json(found["volumes"], f"{path}, volumes")
            except InputError as error:
                raise BundleError(path, f"says wrongly how volumes are decided: {error.rule}", _AGAIN) from error
        return cls(folder=folder, **found)

    def checksums(self) -> dict[str, str]:
        """Returns the SHA-256 of each file beside bundle.json, by name."""
        files = (self.network, self.scope, self.kinds_model)
        return {path.name: sha256_of(path.read_bytes()) for path in files if path.is_file()}

    @classmethod
    def _versions(cls) -> JsonObject:
        return {"schema": cls.SCHEMA, "intensity": standard.VERSION, "labels": list(CLASS_NAMES)}


def _look_up(wanted: str | float, thresholds: Mapping[str, float], sensitivities: Sequence[Sequence[float]]) -> float:
    if isinstance(wanted, str):
        if wanted not in thresholds:
            rule = f"must be one of {', '.join(thresholds)}, not {wanted!r}"
            raise UsageError("threshold", rule, "Choose one of them.")
        return thresholds[wanted]
    check_share("sensitivity", wanted)
    reached = [threshold for sensitivity, threshold in sensitivities if sensitivity >= wanted]
    if not reached or not wanted:  # every threshold has a sensitivity of 0 or more
        rule = f"no threshold is known for {wanted}"
        raise UsageError("sensitivity", rule, "Choose one from 0.5 to 0.995, such as 0.95.")
    return max(reached)


def write_bundle(bundle: Bundle) -> None:
    """Writes bundle.json beside the other files, which are there already."""
    write_json(bundle.folder / "bundle.json", bundle.to_json())


def load_bundle(folder: str | Path = SHIPPED) -> Bundle:
    """Loads a bundle; the one that comes with the package by default.

    Raises:
        BundleError: missing, altered, or made for another version of brainsift.
        InputError: bundle.json is no JSON.

    >>> load_bundle().preprocessing
    'standard'
    """
    folder = Path(folder)
    path = folder / "bundle.json"
    if not path.is_file():
        raise BundleError(folder, "holds no bundle.json", "Make a bundle with `brainsift export RUN -o DIR`.")
    values = read_json(path)
    bundle = Bundle.from_json(values, folder)
    found = bundle.checksums()
    if bundle.network.name not in found or found != values.get("checksums"):
        raise BundleError(folder, "has a file that is missing or altered: checksums differ", "Export it again.")
    return bundle
