"""Image collections: download, labels and records by collection, the manifest, leak-free splits.

Modules: catalog, csv_table, labelling, tumor_kinds, manifest, protocols, split, download.
May import: core, images.
"""
