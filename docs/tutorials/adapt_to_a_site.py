# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Adapt to a site
#
# The network that ships was calibrated on a mixture of public collections. Your scanners and your patients differ from them. You will fit the temperature and the thresholds
# with a few labeled images of your own, and check whether that helped. The network itself stays as it is.

# %% tags=["install"]
# %pip install -q "brainsift[train]"

# %% [markdown]
# ## Get labeled images of the site
#
# You need at least ten images of each class, better 100 in all, from as many patients as you can. Describe them in a CSV file with the columns `path`, `label` and `patient`
# ([describe your images](../how-to/describe-your-images.md)). Choose them at random: figures from chosen cases describe the choice.
#
# Here the site is a set of phantoms, which the network has never seen.

# %%
from pathlib import Path

from brainsift.images.phantom import write_phantoms

data = write_phantoms(Path("site"), count=120)
print(*data.read_text().splitlines()[:4], sep="\n")

# %% [markdown]
# ## Adapt the bundle
#
# `calibrate` predicts the images with the network as it ships, and fits the temperature and the thresholds to their labels. The result is a new bundle; the old one stays as it is.

# %%
import brainsift as bs

report = bs.calibrate(data, "site-bundle")
print(f"{report.n} images of {report.n_groups} patients or single images, {report.n_tumor} with a tumor")
print(f"temperature {report.temperature[0]:.2f} -> {report.temperature[1]:.2f}")
print(f"threshold   {report.threshold[0]:.2f} -> {report.threshold[1]:.2f}")

# %% [markdown]
# ## Did it help?
#
# Each image is scored by what the *other* patients taught (cross-fitting), so that the figures are not too good. A difference is certain only if its interval does not
# contain 0.

# %%
for name, (before, after) in report.scores.items():
    gain = report.gains[name].difference
    change = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    print(f"{name:18} {before.value:.3f} -> {after.value:.3f}   difference {change}")

# %% [markdown]
# Read it like this: on these phantoms the network gives too many false alarms at its own threshold. The new threshold is higher, and the specificity rises; the interval of
# that gain does not contain 0. The Brier loss measures the probabilities. Its interval contains 0: with so few images, no gain is certain there.
#
# ## Use it

# %%
images = sorted(Path("site").glob("*tumor/p*"))[::5]
n_tumor = sum(image.parent.name == "tumor" for image in images)
for name, bundle in (("as it ships", bs.load_bundle()), ("adapted", bs.load_bundle("site-bundle"))):
    decisions = [prediction.decision for prediction in bs.Predictor(bundle).predict(images)]
    print(f"{name:12} {decisions.count('tumor')} of {len(images)} images called tumor; {n_tumor} have one")

# %% [markdown]
# ## Next
#
# - The same on the command line: `brainsift calibrate --data LOCAL -o site-bundle`, then `brainsift predict --bundle site-bundle FOLDER`.
# - Collect labeled cases while you work: [measure brainsift on your own cases](../how-to/measure-on-your-own-cases.md).
# - What temperature and threshold mean: [calibration and referral](../concepts/calibration.md).
