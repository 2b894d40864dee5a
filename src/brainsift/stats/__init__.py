"""Scores with confidence intervals, calibration and operating points.

Modules: metrics, calibration.
May import: core.
"""
