"""DICOM series and NIfTI volumes as slices in order, and the files that a user names.

Modules: reader, dicom, nifti, slices, windowing, inputs.
May import: core, images.
"""
