"""From a run to a model bundle that predicts without PyTorch, and a bundle adapted to one site.

Modules: export, quantization, ensemble, site_calibration.
May import: core, images, inference, datasets, stats, training, evaluation.
"""
