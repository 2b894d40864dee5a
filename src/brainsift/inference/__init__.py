"""From a model bundle and images to predictions, without PyTorch.

Modules: bundle, predictor, volume_decision, familiarity, overlay, model_card, provenance, chunks, ray_engine.
May import: core, images, stats, volumes.
"""
