"""Scores of a run on its test set, and of its tumor maps against masks.

Modules: evaluate, localization.
May import: core, images, datasets, stats, training.
"""
