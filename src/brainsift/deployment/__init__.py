"""From a run to a model bundle that predicts without PyTorch, and a bundle adapted to one site.

Modules: ensemble, export, features, kind_model, not_heads, quantization, scope_fit, slimming,
volume_fit, site_calibration.
May import: core, images, inference, datasets, stats, training, evaluation.
"""
