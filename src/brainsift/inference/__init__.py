"""From a model bundle and images to predictions, without PyTorch.

Modules: bundle, decision, predictor, volume_model, volume_decision, familiarity, kinds, overlay, display, cautions,
model_card, provenance.
May import: core, images, stats, volumes.
"""
