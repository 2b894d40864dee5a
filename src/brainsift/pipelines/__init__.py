"""Several stages in one call: the network that ships, cross-fitting, and the demonstration on drawn images.

Modules: release, cross_fit, demo.
May import: core, images, stats, inference, datasets, auditing, training, evaluation, deployment, studies, reports.
"""
