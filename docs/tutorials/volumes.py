# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Volumes
#
# You will predict a NIfTI volume: slice by slice, and as a whole. A DICOM series works in the same way.

# %% tags=["install"]
# %pip install -q brainsift

# %% [markdown]
# ## Get a volume
#
# This volume is a stack of 24 drawn slices, smaller towards both ends, as in a head. Slices 11 to 16 contain a tumor. Use the path of your own volume instead if you have one.

# %%
import nibabel
import numpy as np
from PIL import Image

from brainsift.images.phantom import draw

SLICES, SIDE = 24, 192


def draw_slice(number: int) -> np.ndarray:
    """Draws one slice, (SIDE, SIDE) uint8; the head is smaller at both ends of the stack."""
    head = Image.fromarray(draw(8, tumor=11 <= number <= 16, size=SIDE).pixels)
    side = round(SIDE * np.sqrt(1 - ((2 * number - 1) / SLICES - 1) ** 2))
    canvas = Image.new("L", (SIDE, SIDE))
    canvas.paste(head.resize((side, side)), ((SIDE - side) // 2,) * 2)
    return np.asarray(canvas)


stack = np.stack([draw_slice(number) for number in range(1, SLICES + 1)])
voxels = stack[:, ::-1, ::-1].transpose(2, 1, 0)  # the axes of NIfTI: left-right, back-front, bottom-top
nibabel.Nifti1Image(voxels.astype(np.int16), np.diag([1.0, 1.0, 6.0, 1.0])).to_filename("head.nii.gz")
Image.fromarray(np.hstack(stack[2::4]))

# %% [markdown]
# ## Predict it
#
# In a notebook, the result shows the five most suspicious slices, and the probability along the volume.

# %%
import brainsift as bs

volume = bs.predict_volume("head.nii.gz")
volume

# %% [markdown]
# **How it is decided.** The calibrated probability of a volume comes from the mean logit of three adjacent slices, where that mean is largest. A tumor shows in several neighboring
# slices; one high slice alone is mostly a false alarm. A volume has [thresholds of its own](../concepts/calibration.md#volumes), and three states: *tumor*, *suspicious, look at
# slices …*, and *no tumor found*. Always look at the most suspicious slices.
#
# ## Look at its slices
#
# `slices` has one prediction per slice, in order. A slice is named after its file and its number. A slice that contains hardly any of the head is referred and does not count.

# %%
for prediction in volume.slices:
    print(f"{prediction.path:14}  {prediction.probability:.3f}  {prediction.decision:8}  {prediction.detail}")

# %% [markdown]
# ## Choose another threshold
#
# A predictor with a threshold of your choice decides images and volumes with it.

# %%
careful = bs.Predictor(threshold="screening")
found = bs.predict_volume("head.nii.gz", predictor=careful)
print(f"{found.decision} at {found.threshold:.3f}; most suspicious: {found.suspicious[0]}")

# %% [markdown]
# ## Next
#
# - The same on the command line: `brainsift predict head.nii.gz --csv slices.csv --volumes volumes.csv --heatmaps maps`.
# - DICOM series, and what the headers are used for: [predict DICOM and NIfTI](../how-to/dicom-and-nifti.md).
