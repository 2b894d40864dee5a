"""What a reader drew on the slices of a DICOM series that a job scored, as a DICOM segmentation."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import BrainsiftError
from brainsift.dicom_results.build import build_drawn_segmentation
from brainsift.inference.bundle import Bundle
from brainsift.serve.scoring.job import Job
from brainsift.volumes.reader import kind_of, split_name


def segmentation_of(
    job: Job, masks: Mapping[int, npt.NDArray[np.bool_]], bundle: Bundle, *, from_network: bool
) -> tuple[bytes | None, str]:
    """Makes the segmentation of contours on the slices of one volume.

    Args:
        job: scored them.
        masks: by the place of the slice in the job, one at least: (height, width) as the slice is shown.
        bundle: that was used.
        from_network: whether the reader began with contours of the network.

    Returns:
        A whole DICOM file and "", or None and why it cannot be made: "" where the volume is no DICOM series.
    """
    try:
        places = job.places_of_volume(next(iter(masks)))
        (volume,) = job.volumes_of([places.start], job.rule)
        if kind_of(split_name(volume.slices[0].path)[0]) != "dicom":
            return None, ""
        by_path = {volume.slices[place - places.start].path: mask for place, mask in masks.items()}
        made, fault = build_drawn_segmentation(volume, by_path, bundle, from_network=from_network, when=datetime.now())
    except BrainsiftError as error:
        return None, f"{error.subject} {error.rule}"
    return made.content if made else None, fault
