"""Scores of a run on its test set, and of its tumor maps against masks; labels that it contradicts.

Modules: evaluate, evaluate_predictions, compare_runs, calibrated_run, set_scores, localization, run_results,
doubtful_labels.
May import: core, images, inference, datasets, stats, training.
"""
