"""Many files at once: predictions in order, on this machine or on many, with tables, tumor maps and a report.

Modules: predict_files, heatmaps, chunks, ray_engine.
May import: core, images, volumes, inference, pages.
"""
