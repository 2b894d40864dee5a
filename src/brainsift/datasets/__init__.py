"""Image collections: download, labels and records by collection, the manifest, leak-free splits.

Modules: catalog, manifest, split, download.
May import: core, images.
"""
