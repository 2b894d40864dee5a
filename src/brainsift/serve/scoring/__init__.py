"""Files of a request become jobs, and one engine scores the slices of all jobs.

Modules: archive, uploads, reservation, job, engine, jobs, slice_pictures, dicom_zip, map_volume,
    drawn_segmentation, blocks.
May import: core, images, volumes, inference, dicom_results, serve.
"""
