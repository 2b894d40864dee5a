"""What was scored and what readers said of it, kept in one SQLite file.

Modules: store, database, search, export_table, recording.
May import: core, inference, serve, serve.scoring.
"""
