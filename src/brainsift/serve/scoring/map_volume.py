"""The tumor maps of a volume as one NIfTI file, in the voxels that were scored."""

from brainsift import __version__
from brainsift.core.errors import InputError, NotFoundError
from brainsift.core.files import sha256_of
from brainsift.images.standard import Floats, standard_map
from brainsift.inference.bundle import Bundle
from brainsift.serve.scoring.job import Job
from brainsift.volumes.planes import grid_of


def map_nifti(job: Job, place: int, bundle: Bundle) -> bytes:
    """Returns the tumor maps of a volume as NIfTI, packed by gzip.

    It has the shape and the affine of the file that was scored; of a DICOM series, columns, rows and slices as they are
    stored. Its values are probabilities from 0 to 1, and 0 where no slice was scored. Its description says so, with the
    network and the version.

    Args:
        job: that scored it.
        place: of one of its slices.
        bundle: that was used.

    Raises:
        NotFoundError: the slice belongs to no volume, or the volume has no map.
        PendingError: the volume is still being scored.
        InputError: its slices are no stack at even distances, or a file cannot be read any more.
    """
    places = job.places_of_volume(place)
    grid = grid_of([job.acquisition(one) for one in places], job.predictions[place].volume)
    if grid is None or grid.n_slices != len(places):
        rule = "is no stack of slices at even distances: it cannot be written as NIfTI"
        raise InputError("volume", rule, "Save the pictures of its maps one by one.")
    maps: dict[int, Floats] = {}
    for number, one in enumerate(places):
        found = job.predictions[one]
        if found.status == "ok" and found.tumor_map is not None:
            maps[number] = standard_map(job.load(one).image.grey(), found.tumor_map, bundle.size)
    if not maps:
        raise NotFoundError("map", "of this volume is not there", "None of its slices has one.")
    network = f"{bundle.name} {sha256_of(bundle.network.read_bytes())[:12]}"
    words = f"brainsift {__version__} {network}: tumor map 0 to 1; 0: not scored"
    return grid.nifti(grid.maps(maps), words)
