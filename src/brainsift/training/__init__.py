"""Networks, recipes, augmentation and the training loop: from a split manifest to a run folder.

Modules: train, tune, searches, runs, recipes, networks, pruning, pretrained, augment, cache, pack,
mask_loss, distillation, exported, skull_strip, lesion_transplant, lesion_synthesis, other_findings, sampling, devices,
trackers.
May import: core, images, inference, datasets.
"""
