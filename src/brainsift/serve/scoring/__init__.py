"""Files of a request become jobs, and one engine scores the slices of all jobs.

Modules: archive, uploads, reservation, job, engine, jobs, slice_pictures, blocks.
May import: core, images, volumes, inference, serve.
"""
