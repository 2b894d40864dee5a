"""From a model bundle and images to predictions, without PyTorch.

Modules: bundle, predictor, volume_decision, familiarity, overlay, model_card, chunks, ray_engine.
May import: core, images, volumes.
"""
