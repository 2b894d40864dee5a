"""From a file to the pixels that a network sees: decoding, preprocessing, masks, plausibility rules, phantoms.

Modules: decode, preprocess, standard, baseline, masks, plausibility, phantom, components, resample.
May import: core.
"""
