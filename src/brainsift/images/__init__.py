"""From a file to the pixels that a network sees: decoding, preprocessing, masks, plausibility rules, phantoms.

Modules: decode, pages, padding, spikes, preprocess, standard, baseline, masks, plausibility, phantom, components,
resample, data_uri.
May import: core.
"""
