"""A prediction for a volume to the DICOM objects that say it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from brainsift import __version__
from brainsift.core.errors import MissingExtraError
from brainsift.core.files import sha256_of
from brainsift.dicom_results.assembly import FORMAT, Assembly
from brainsift.dicom_results.printed_report import make_printed_report
from brainsift.dicom_results.result_set import Reference, ResultObject, ResultOptions, ResultSet
from brainsift.dicom_results.secondary_capture import make_captures
from brainsift.dicom_results.segmentation import make_drawn_segmentation, make_segmentation
from brainsift.dicom_results.sources import Source, read_source
from brainsift.dicom_results.structured_report import make_report
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Rule
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.pages.html import check_printer


def build_results(
    volume: VolumePrediction,
    bundle: Bundle,
    rule: Rule,
    *,
    when: datetime,
    version: int = 1,
    predecessor: Reference | None = None,
    forced: bool = False,
    options: ResultOptions = ResultOptions(),  # noqa: B008 - frozen
) -> ResultSet:
    """Makes the DICOM objects for one volume; the same arguments and files give the same bytes.

    Their UIDs depend on the images, the network, its rule, the version of brainsift and all arguments but ``when``.

    Args:
        volume: with its slices and their tumor maps, as `predict_volume` returns it.
        bundle: that was used.
        rule: that was used, `Predictor.rule`.
        when: the date and time that the objects bear, in the time zone that is theirs.
        version: counts the results for the same series.
        predecessor: the report that this result replaces.
        forced: whether the series may not be complete.
        options: which objects are made.

    Returns:
        The objects, and why others could not be made. Without any object where nothing can refer to the images.

    Raises:
        MissingExtraError: without the extra `dicom`, or for the page without the extra `pdf`.
        InputError: a file is gone.
    """
    check_extras(options)
    source = read_source(volume)
    if fault := source.reference_fault():
        return ResultSet((), (f"no DICOM object: {fault}",))
    checksums = bundle.checksums()
    settings = {"version": version, "predecessor": predecessor and asdict(predecessor), "forced": forced}
    key = [_made_with(bundle, rule, checksums), settings, asdict(options), _images(source)]
    assembly = Assembly(source, json.dumps(key), when, checksums[bundle.network.name])
    objects: list[ResultObject] = []
    left_out: list[str] = []
    for wanted, fractional in ((options.segmentation, False), (options.fractional, True)):
        if wanted:
            made, fault = make_segmentation(assembly, bundle, fractional=fractional)
            objects += [made] if made else []
            left_out += [f"no {'fractional ' * fractional}segmentation: {fault}"] if fault else []
    if options.secondary_capture:
        captures = make_captures(assembly, volume, bundle, rule)
        objects += captures
        left_out += [] if captures else ["no secondary capture: no slice could be scored"]
    if options.structured_report:
        objects.append(
            make_report(
                assembly,
                volume,
                bundle,
                rule,
                segmentation=next((one for one in objects if one.kind == "segmentation"), None),
                version=version,
                predecessor=predecessor,
                forced=forced,
                left_out=left_out,
            )
        )
    if options.pdf:
        objects.append(make_printed_report(assembly, volume, bundle, rule, forced=forced))
    return ResultSet(tuple(objects), tuple(left_out))


def build_drawn_segmentation(
    volume: VolumePrediction,
    masks: Mapping[str, npt.NDArray[np.bool_]],
    bundle: Bundle,
    *,
    from_network: bool,
    when: datetime,
) -> tuple[ResultObject | None, str]:
    """Makes a DICOM segmentation of contours that a reader drew on the slices of a volume.

    Args:
        volume: with its slices.
        masks: by the path of the prediction for a slice: (height, width) as the slice is shown.
        bundle: that was used for the volume.
        from_network: whether the reader began with contours of the network.
        when: the date and time that the object bears.

    Returns:
        The object and "", or None and why it cannot be made.

    Raises:
        MissingExtraError: without the extra `dicom`.
        InputError: a file is gone.
    """
    check_extras(ResultOptions())
    source = read_source(volume)
    if fault := source.reference_fault():
        return None, fault
    drawn = {path: sha256_of(np.packbits(mask).tobytes()) for path, mask in masks.items()}
    key = [FORMAT, __version__, "drawn", from_network, [drawn.get(one.prediction.path) for one in source.slices]]
    assembly = Assembly(source, json.dumps([*key, _images(source)]), when, bundle.checksums()[bundle.network.name])
    return make_drawn_segmentation(assembly, masks, bundle.name, from_network=from_network)


def check_extras(options: ResultOptions) -> None:
    """Refuses objects that could not be made, before work is spent on their content.

    Raises:
        MissingExtraError: without the extra `dicom`, or for the page without the extra `pdf`.
    """
    if find_spec("highdicom") is None:
        raise MissingExtraError.of("DICOM objects", "highdicom", "dicom")
    if options.pdf:
        check_printer()


def _made_with(bundle: Bundle, rule: Rule, checksums: dict[str, str]) -> dict[str, object]:
    known = {"format": FORMAT, "brainsift": __version__, "temperature": bundle.temperature}
    return {**known, "files": checksums, "rule": asdict(rule)}


def _images(source: Source) -> Sequence[tuple[str, int]]:
    return [(one.uids.instance, one.frame) for one in source.slices]
