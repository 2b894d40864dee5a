"""A whole study: audit, split, train, tune, evaluate and compare, from raw folders to results.

Modules: study, study_settings, study_results, study_records.
May import: core, images, datasets, stats, charts, auditing, training, evaluation.
"""
