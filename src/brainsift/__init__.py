"""brainsift tells whether a brain MRI slice shows a tumor, and measures how far to believe it."""

__version__ = "0.1.0"
