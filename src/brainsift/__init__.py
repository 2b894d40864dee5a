"""brainsift tells whether a brain MRI slice shows a tumor, and measures how far to believe it."""

import os

__version__ = "0.1.0"

# ONNX Runtime reports to its maker from 1.29 on, unless this is set before it is imported; nothing leaves this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
