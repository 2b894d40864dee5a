"""Predictions and the verdicts of readers, kept in one SQLite file.

Modules: store, database, search, export_table, recording.
May import: core, volumes, inference, serve, serve.scoring.
"""
