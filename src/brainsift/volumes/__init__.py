"""DICOM series and volumes (NIfTI and others) as slices in order, and the files that a user names.

Modules: reader, signatures, grouping, dicom, dicom_header, dicom_pixels, jpeg_lossless, stacks, nifti, raw_volume,
    slices, windowing, geometry, voxel_grid, planes, contrast, acquisition, inputs.
May import: core, images.
"""
