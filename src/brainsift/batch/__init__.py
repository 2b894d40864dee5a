"""Many files at once: predictions in order, here or on many machines, with tables, tumor maps, a report, DICOM objects.

Modules: predict_files, heatmaps, dicom_sets, chunks, processes, ray_engine.
May import: core, images, volumes, inference, pages, dicom_results.
"""
