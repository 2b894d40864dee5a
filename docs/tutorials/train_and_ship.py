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

from brainsift.auditing.audit import AuditConfig, audit
from brainsift.datasets.catalog import collect
from brainsift.datasets.split import SplitConfig, split
from brainsift.images.phantom import write_phantoms

data = write_phantoms(Path("phantoms"), count=300)
manifest = audit(collect([str(data)]), AuditConfig(probes=False), cache=Path("audit")).manifest
table = split(manifest, SplitConfig(protocol="grouped"))
table["part"].value_counts()

# %% [markdown]
# ## Train
#
# `compact` is a small network that starts from ImageNet weights in the package. The recipe `fast` trains it for two epochs on small images: good for a first look. For a real
# network use the recipe `standard`. With `threads=1` it does not slow down when other programs use the same cores.
#
# Everything goes into a *run folder*: the settings, the split, the environment, the training curve, the weights, and the predictions. If training is interrupted, call `train`
# again with the same folder: it continues.

# %%
from brainsift.training.recipes import make_config
from brainsift.training.train import train

run = Path("runs/compact")
train(table, make_config(model="compact", recipe="fast", threads=1), run, cache=Path("cache"))
sorted(path.name for path in run.iterdir())

# %% [markdown]
# ## Evaluate
#
# The temperature comes from the validation set. The test set is read here, once. Every score has a 95 % interval that resamples groups.

# %%
from brainsift.evaluation.evaluate import evaluate_run

results = evaluate_run(run)
for name in ("accuracy", "sensitivity", "specificity", "roc_auc"):
    score = results["test"]["scores"][name]
    print(f"{name:12} {score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})")

# %% [markdown]
# These figures are for phantoms. They show that the machinery works, not that it finds tumors.
#
# ## Export
#
# A *bundle* holds the network as ONNX, its preprocessing, its temperature, its thresholds and where it comes from. It predicts without PyTorch.

# %%
from brainsift.deployment.export import export_run

bundle = export_run(run, Path("bundle"))
print(
    f"{bundle.network.stat().st_size / 2**20:.1f} MB",
    {name: round(value, 3) for name, value in bundle.thresholds.items()},
)

# %% [markdown]
# ## Predict
#
# Give the bundle to a `Predictor`. On another machine, `load_bundle(Path("bundle"))` reads it; it needs only the base install.

# %%
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor

new = write_phantoms(Path("new"), count=12, seed=10_007).parent
predictor = Predictor(load_bundle(Path("bundle")))
for prediction in predictor.predict(sorted(new.glob("*tumor/*.*"))):
    print(f"{Path(prediction.path).parent.name:9} {prediction.decision:9} {prediction.probability:.3f}")

# %% [markdown]
# ## Next
#
# - The same on the command line: [train your own network](../how-to/train-your-own-network.md).
# - Does it look at the tumor? [Evaluate on masks](../how-to/evaluate-on-masks.md).
# - Fit it to another scanner: [adapt to a site](adapt_to_a_site.py).
