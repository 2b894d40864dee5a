"""Scores of a run on its test set, and of its tumor maps against masks.

Modules: evaluate, localization, run_results.
May import: core, images, inference, datasets, stats, training.
"""
