"""Asks the installed command for one prediction, on a phantom: `python .ci/predict_phantom.py`."""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from brainsift import __version__
from brainsift.images.phantom import draw

with tempfile.TemporaryDirectory() as name:
    image, table = Path(name, "phantom.png"), Path(name, "table.csv")
    Image.fromarray(draw(0, tumor=True).pixels).save(image)
    subprocess.run([sys.executable, "-m", "brainsift", "predict", image, "--csv", table], check=True)
    (row,) = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
if (row["status"], row["decision"]) != ("ok", "tumor"):
    sys.exit(f"A phantom with a tumor must be predicted as one, got {row}.")
print(f"brainsift {__version__} on Python {sys.version.split()[0]}: tumor, probability {row['probability']}.")
