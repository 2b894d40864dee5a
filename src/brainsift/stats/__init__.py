"""Scores with confidence intervals, calibration and operating points.

Modules: intervals, scores, metrics, calibration.
May import: core.
"""
