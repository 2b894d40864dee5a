"""DICOM series and NIfTI volumes as slices in order, and the files that a user names.

Modules: reader, grouping, dicom, dicom_header, dicom_pixels, jpeg_lossless, stacks, nifti, slices, windowing,
    geometry, acquisition, inputs.
May import: core, images.
"""
