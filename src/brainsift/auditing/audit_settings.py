"""The settings of an audit, without the packages that an audit needs."""

from dataclasses import dataclass

MIN_SIMILARITY = 0.82


@dataclass(frozen=True)
class AuditConfig:
    """How to audit.

    Attributes:
        min_similarity: correlation of fine texture from which two images count as near-duplicates.
        probes: run the shortcut probes.
        workers: threads; 0 for one per core.
        seed: of the probes.
    """

    min_similarity: float = MIN_SIMILARITY
    probes: bool = True
    workers: int = 0
    seed: int = 0
