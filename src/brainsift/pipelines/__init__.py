"""Several stages in one call: the network that ships, and the demonstration on drawn images.

Modules: release, demo.
May import: core, images, inference, datasets, auditing, training, evaluation, deployment, studies, reports.
"""
