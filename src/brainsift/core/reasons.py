"""Why an image or a volume is not simply *tumor* or *no tumor*: a code for programs, and words for people."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """A code that stands in every table, JSON file and API response beside the words; programs read the code only."""

    NONE = ""
    # unreadable
    MISSING_FILE = "missing_file"
    NO_PERMISSION = "no_permission"
    NOT_AN_IMAGE = "not_an_image"
    BROKEN_FILE = "broken_file"
    UNSUPPORTED = "unsupported"
    OUTSIDE_LIMITS = "outside_limits"
    TINY = "tiny"
    NOT_TAKEN = "not_taken"
    # not_brain_mri
    BLANK = "blank"
    INVERTED = "inverted"
    STRIP = "strip"
    COLORED = "colored"
    NO_BACKGROUND = "no_background"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    HARDLY_ANY_HEAD = "hardly_any_head"
    OTHER_MODALITY = "other_modality"
    OTHER_BODY_PART = "other_body_part"
    SEVERAL_IMAGES = "several_images"
    # refer
    UNSURE = "unsure"
    NO_USABLE_SLICE = "no_usable_slice"
    TOO_FEW_SLICES = "too_few_slices"


@dataclass(frozen=True)
class Rejection:
    """Why an image or a volume is not decided.

    Attributes:
        code: for programs.
        words: for people, one line.
    """

    code: Reason
    words: str
