"""Uploads within limits, jobs, and batches across requests.

Modules: uploads, archive, jobs, engine, slice_pictures.
May import: core, images, volumes, inference, serve.
"""
