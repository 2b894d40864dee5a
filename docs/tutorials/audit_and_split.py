# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Audit and split your own data
#
# You will look for duplicates and shortcuts in a collection, and split it so that nothing leaks from the training set into the test set.

# %% tags=["install"]
# %pip install -q "brainsift[train]"

# %% [markdown]
# ## Get a collection
#
# These phantoms have what real collections have: patients with several slices, several formats, and copies. One image in ten is a copy of another one: the same file,
# encoded again, or mirrored.
#
# For your own images, write the path of a folder with one folder per class (`yes` and `no`, for instance), or of a CSV file
# ([describe your images](../how-to/describe-your-images.md)).

# %%
from pathlib import Path

from brainsift.images.phantom import write_phantoms

data = write_phantoms(Path("phantoms"), count=160)
data

# %% [markdown]
# ## Audit it
#
# The audit reads each file once and deletes nothing.

# %%
from brainsift.auditing.audit import AuditConfig, audit, write_audit
from brainsift.datasets.catalog import collect

result = audit(collect([str(data)]), AuditConfig(), cache=Path("audit"))
write_audit(result, Path("audit"))
result.findings["totals"]

# %% [markdown]
# `distinct_pixels` is smaller than `files`: some files show the same picture. `groups` is smaller still: near-duplicates and slices of one patient are joined into
# groups. A group is the unit of everything that follows.
#
# The manifest has one row per image.

# %%
manifest = result.manifest
manifest.loc[manifest["flags"] != "", ["path", "label", "patient", "group", "flags"]].head().assign(
    path=lambda table: table["path"].map(lambda path: Path(path).name)
)

# %% [markdown]
# ## Look for shortcuts
#
# The probes are rules that see no anatomy: the size of the image, its border, the most similar image. On `random` folds copies of the test images are in the training set;
# on `grouped` folds they are not. Compare the two rows of the permuted labels: these labels mean nothing, so whatever they reach above chance is leakage.

# %%
import pandas as pd

pd.DataFrame(
    {
        "rule": probe["name"],
        "folds": probe["protocol"],
        "accuracy": round(probe["accuracy"]["value"], 3),
        "ROC AUC": round(probe["roc_auc"]["value"], 3),
    }
    for probe in result.findings["probes"]
)

# %% [markdown]
# ## Split it
#
# The protocol `grouped` keeps groups and patients whole. `random` is what most studies do; it is here to show what it does.

# %%
from brainsift.datasets.split import SplitConfig, check, split, twin_counts

for protocol in ("random", "grouped"):
    parts = split(manifest, SplitConfig(protocol=protocol))
    twins = twin_counts(parts)
    print(protocol, parts["part"].value_counts().to_dict())
    print(f"  of {twins['test']:.0f} test images, {twins['same_group']:.0f} share a group with a training image")

# %% [markdown]
# `check` raises an error if anything leaks. The empty name counts images that are left out: copies, and images with conflicting labels.

# %%
check(parts)
parts.groupby(["part", "label"]).size().unstack()

# %% [markdown]
# ## Keep the split

# %%
from brainsift.datasets.manifest import write_manifest

write_manifest(parts, Path("split.csv"))

# %% [markdown]
# ## Next
#
# - The same on the command line: `brainsift audit DIR -o audit`, then `brainsift split audit/manifest.csv -o split.csv`. The command also writes a report with thumbnails.
# - Why this matters: [leakage](../concepts/leakage.md) and [shortcuts](../concepts/shortcuts.md).
# - Train on the split: [train and ship](train_and_ship.py).
