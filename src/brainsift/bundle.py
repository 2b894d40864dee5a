"""What ships: a folder with the network (ONNX) and all that is needed to use it rightly.

network.onnx   float32 (n, channels, size, size) in [0, 1] -> logits float32 (n,)
bundle.json    preprocessing, labels, temperature, thresholds, provenance, and the checksum of the network
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brainsift import intensity
from brainsift.errors import BundleError
from brainsift.files import read_json, sha256_of, write_json
from brainsift.labels import CLASS_NAMES

SCHEMA = 1


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
        provenance: data, settings, figures, versions.
        notice: what the user has to know.
    """

    folder: Path
    name: str
    preprocessing: str
    size: int
    temperature: float
    thresholds: dict[str, float]
    provenance: dict[str, Any] = field(default_factory=dict)
    notice: str = "Research use only. Not a medical device."

    @property
    def network(self) -> Path:
        """Path of the ONNX file."""
        return self.folder / "network.onnx"


_FIELDS = tuple(name for name in Bundle.__dataclass_fields__ if name != "folder")


def write_bundle(bundle: Bundle) -> None:
    """Writes bundle.json beside a network that is there already."""
    values = asdict(bundle)
    del values["folder"]
    write_json(
        bundle.folder / "bundle.json",
        {
            "schema": SCHEMA,
            "intensity": intensity.VERSION,
            "labels": list(CLASS_NAMES),
            "network_sha256": sha256_of(bundle.network.read_bytes()),
            **values,
        },
    )


def load_bundle(folder: Path) -> Bundle:
    """Loads a bundle.

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
    for name, expected in (("schema", SCHEMA), ("intensity", intensity.VERSION), ("labels", list(CLASS_NAMES))):
        if values.get(name) != expected:
            raise BundleError(
                path,
                f"was made for another version: {name} is {values.get(name)!r}, this version reads {expected!r}",
                "Export it again with this version of brainsift.",
            )
    bundle = Bundle(folder=folder, **{name: values[name] for name in _FIELDS})
    if not bundle.network.is_file() or sha256_of(bundle.network.read_bytes()) != values.get("network_sha256"):
        raise BundleError(bundle.network, "is missing or does not have the checksum of bundle.json", "Export it again.")
    return bundle
