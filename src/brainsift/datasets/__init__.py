"""Image collections: download, labels and records by collection, the manifest, leak-free splits.

Modules: catalog, csv_table, labelling, manifest, protocols, split, tumor_kinds, download.
May import: core, images.
"""
