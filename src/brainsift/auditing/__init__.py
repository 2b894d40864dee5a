"""What is wrong with a collection: duplicates, near-duplicates, label conflicts, shortcuts.

Modules: audit, audit_settings, findings, reading, index, fingerprint, near_duplicates, shortcuts.
May import: core, images, datasets, stats, charts.
"""
