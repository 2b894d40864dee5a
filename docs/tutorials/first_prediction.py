# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First prediction
#
# You will predict one image, read the result, choose a threshold, and refer an uncertain image to a person. It takes two minutes.

# %% tags=["install"]
# %pip install -q brainsift

# %% [markdown]
# ## Get an image
#
# This tutorial draws its images, so that it runs everywhere. They are *phantoms*: drawings of a head, with or without a drawn tumor. Use the path of your own
# image instead if you have one.

# %%
from PIL import Image

from brainsift.images.phantom import draw

Image.fromarray(draw(2, tumor=True, size=256).pixels).save("tumor.png")
Image.fromarray(draw(2, tumor=False, size=256).pixels).save("no_tumor.png")
Image.open("tumor.png")

# %% [markdown]
# ## Predict it
#
# A `Predictor` loads the network that comes with the package. Make it once and use it for as many images as you like.

# %%
import brainsift as bs

predictor = bs.Predictor()
prediction = predictor.score("tumor.png")
prediction

# %% [markdown]
# In a notebook, a prediction shows the image with the *tumor map* over it: for each place, how much it looks like a tumor. Look at it always: a network can be right for the
# wrong reason.
#
# - `status` is `ok`: the image looks like a brain MRI slice.
# - `probability` is the calibrated probability of tumor.
# - `decision` is `tumor`, because the probability is at or above the threshold.
#
# `score` also takes a NumPy array, a Pillow image, the bytes of a file, or a DICOM dataset.

# %%
print(f"{prediction.probability:.3f} >= {predictor.threshold:.3f}")

# %% [markdown]
# ## Predict several images
#
# `predict` takes any number of paths and yields one prediction per image, in order. A file that cannot be read does not stop it.

# %%
from pathlib import Path

Path("broken.png").write_text("not an image")
for prediction in predictor.predict(["tumor.png", "no_tumor.png", "broken.png"]):
    print(f"{prediction.path}: {prediction.status} {prediction.decision} {prediction.reason}")

# %% [markdown]
# ## Choose a threshold
#
# The threshold decides, not the probability. `screening` misses few tumors, `confirm` raises few false alarms. You can also ask for a sensitivity.
# [Choose a threshold](../how-to/choose-a-threshold.md) explains them.

# %%
for threshold in ("screening", "balanced", "confirm", 0.97):
    chosen = bs.Predictor(threshold=threshold)
    decision = chosen.score("no_tumor.png").decision
    print(f"{threshold:>10}: tumor from {chosen.threshold:.3f}, no_tumor.png is {decision}")

# %% [markdown]
# ## Refer uncertain images
#
# To *refer* means to abstain: a person must look at the image. With `max_error=0.03`, at most 3 % of the images that are decided may be wrong; uncertain images are
# referred. The [model card](../model.md#when-it-refers) says what this promise is worth.

# %%
careful = bs.Predictor(max_error=0.03)
for number in range(4, 8):
    prediction = careful.score(draw(number, tumor=number % 2 == 0, size=256).pixels, name=f"drawing {number}")
    print(f"{prediction.path}: {prediction.probability:.3f} {prediction.decision} {prediction.reason}")

# %% [markdown]
# ## What it rejects
#
# An image that is probably not a brain MRI slice gets the status `not_brain_mri`. It is always referred. `reason` is a code for programs; `detail` says the same in words.

# %%
import numpy as np

y, x = np.mgrid[:240, :320]
photo = np.stack([128 + 127 * np.sin(x / 30), 128 + 127 * np.cos(y / 25), (x + y) % 255], axis=2).astype(np.uint8)
prediction = predictor.score(photo, name="photo")
print(f"{prediction.status} {prediction.decision} {prediction.reason}: {prediction.detail}")

# %% [markdown]
# ## Next
#
# - The same on the command line: [predict a folder](../how-to/predict-a-folder.md).
# - What the network can and cannot do: [what to believe](../concepts/what-to-believe.md).
# - Slices of a whole head: [volumes](volumes.py).
