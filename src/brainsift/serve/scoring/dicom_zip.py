"""The DICOM objects of volumes that jobs scored, in one ZIP: those of `brainsift predict --dicom`."""

import io
import zipfile
from collections.abc import Sequence
from datetime import datetime

from brainsift.core.errors import InputError
from brainsift.dicom_results.build import build_results
from brainsift.dicom_results.result_set import folder_of
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Rule
from brainsift.inference.volume_decision import VolumePrediction

LEFT_OUT = "left-out.txt"
"""The file that says why an object could not be made, one line per object, the folder of the volume first."""


def zip_results(volumes: Sequence[VolumePrediction], bundle: Bundle, rule: Rule) -> bytes:
    """Makes the DICOM objects of volumes and packs them, one folder per volume: ``volume-00000`` and so on.

    Args:
        volumes: whole, with their slices; the paths of these are those of files on the disk.
        bundle: that was used.
        rule: that decided them.

    Raises:
        MissingExtraError: without the extra `dicom`.
        InputError: no object can be made, or a file is gone.
    """
    packed, left_out, count = io.BytesIO(), list[str](), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for number, volume in enumerate(volumes):
            folder = folder_of(number)
            made = build_results(volume, bundle, rule, when=datetime.now())
            for one in made.objects:
                file.writestr(f"{folder}/{one.file_name}", one.content)
            count += len(made.objects)
            left_out += [f"{folder}: {reason}\n" for reason in made.left_out]
        if left_out:
            file.writestr(LEFT_OUT, "".join(left_out))
    if not count:
        reason = left_out[0].strip() if left_out else "there is no volume among the slices"
        raise InputError("DICOM objects", f"cannot be made: {reason}", "Choose a DICOM series of MR of a head.")
    return packed.getvalue()
