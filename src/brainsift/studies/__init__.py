"""A whole study: audit, split, train, tune, evaluate and compare, from raw folders to results.

Modules: study.
May import: core, images, datasets, stats, auditing, training, evaluation.
"""
