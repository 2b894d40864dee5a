"""Many files at once: predictions in order, on this machine or on many, with tables, tumor maps, a report, DICOM objects.

Modules: predict_files, heatmaps, dicom_sets, chunks, ray_engine.
May import: core, images, volumes, inference, pages, dicom_results.
"""
