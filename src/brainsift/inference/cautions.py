"""What in its header speaks for a second look at a slice, whatever its probability."""

from enum import StrEnum

from brainsift.volumes.acquisition import Acquisition

ADULT_YEARS = 18
"""The intended use names no children: none were in the training data."""


class Caution(StrEnum):
    """A code for programs; the page puts it into words."""

    CHILD = "child"
    INCOMPLETE = "incomplete"
    OTHER_CONTRAST = "other_contrast"
    BURNED_IN = "burned_in"


def cautions_of(acquisition: Acquisition) -> list[Caution]:
    """Returns the cautions that follow from a header.

    >>> cautions_of(Acquisition(age_years=9, incomplete=True))
    [<Caution.CHILD: 'child'>, <Caution.INCOMPLETE: 'incomplete'>]
    """
    age = acquisition.age_years
    found = {
        Caution.CHILD: age is not None and age < ADULT_YEARS,
        Caution.INCOMPLETE: acquisition.incomplete,
        Caution.OTHER_CONTRAST: acquisition.other_contrast != "",
        Caution.BURNED_IN: acquisition.burned_in,
    }
    return [caution for caution, holds in found.items() if holds]
