"""Predictions and the verdicts of readers, kept in one SQLite file.

Modules: store, database, contours, search, export_table, masks_zip, recording.
May import: core, volumes, inference, serve, serve.scoring.
"""
