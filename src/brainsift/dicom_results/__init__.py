"""The result for a DICOM series as DICOM objects: structured report, segmentation, secondary captures, printed report.

Modules: result_set, identity, sources, assembly, structured_report, segmentation, secondary_capture, printed_report,
build.
May import: core, images, volumes, inference, pages.
"""
