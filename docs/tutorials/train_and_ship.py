# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train and ship
#
# You will train a network, evaluate it on images that it has not seen, export it, and predict with it. It takes about half a minute on two cores, and needs no graphics card.

# %% tags=["install"]
# %pip install -q "brainsift[train]"

# %% [markdown]
# ## Get, audit and split a collection
#
# [Audit and split your own data](audit_and_split.py) explains these steps. The images are phantoms; use your own if you have some.

# %%
from pathlib import Path

import brainsift as bs
from brainsift.images.phantom import write_phantoms

data = write_phantoms(Path("phantoms"), count=300)
bs.audit(data, output="audit")
table = bs.split("audit/manifest.csv")
table["part"].value_counts().to_dict()

# %% [markdown]
# ## Train
#
# `compact` is a small network that starts from ImageNet weights in the package. The recipe `fast` trains it for two epochs on small images: good for a first look. For a real
# network use the recipe `standard`. With `threads=1` it does not slow down when other programs use the same cores.
#
# Everything goes into a *run folder*: the settings, the split, the environment, the training curve, the weights, and the predictions. If training is interrupted, call `train`
# again with the same folder: it continues.

# %%
run = bs.train(table, "compact", "runs/compact", recipe="fast", threads=1)
sorted(path.name for path in run.iterdir())

# %% [markdown]
# ## Evaluate
#
# Temperature and threshold come from the validation set. The test set is read here, once. Every score has a 95 % interval that resamples groups.

# %%
results = bs.evaluate(run)
for name in ("accuracy", "sensitivity", "specificity", "roc_auc"):
    score = results.test.scores[name]
    print(f"{name:12} {score.value:.3f} ({score.low:.3f}–{score.high:.3f})")

# %% [markdown]
# These figures are for phantoms. They show that the machinery works, not that it finds tumors.
#
# ## Export
#
# A *bundle* holds the network as ONNX, its preprocessing, its temperature, its thresholds and where it comes from. It predicts without PyTorch.

# %%
bundle = bs.export(run, "bundle")
{name: round(value, 3) for name, value in bundle.thresholds.items()}

# %% [markdown]
# ## Predict
#
# Give the bundle to a `Predictor`. On another machine, `load_bundle("bundle")` reads it; it needs only the base install.

# %%
new = write_phantoms(Path("new"), count=12, seed=10_007).parent
predictor = bs.Predictor(bs.load_bundle("bundle"))
for prediction in predictor.predict(sorted(new.glob("*tumor/*.*"))):
    print(f"{Path(prediction.path).parent.name:9} {prediction.decision:9} {prediction.probability:.3f}")

# %% [markdown]
# ## Next
#
# - The same on the command line: [train your own network](../how-to/train-your-own-network.md).
# - Does it look at the tumor? [Evaluate on masks](../how-to/evaluate-on-masks.md).
# - Fit it to another scanner: [adapt to a site](adapt_to_a_site.py).
