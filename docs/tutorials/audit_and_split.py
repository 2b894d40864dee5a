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
import brainsift as bs

result = bs.audit(data, output="audit")
result

# %% [markdown]
# - There are fewer *distinct files* than files: some are copies.
# - *Groups* are fewer still. Near-duplicates and slices of one patient are joined into groups. A group is the unit of everything that follows.
# - The chart shows rules that see no anatomy: the size of the image, its border, the most similar image. On *random* folds, copies of the test images are in the training
#   set; with groups kept whole they are not. The shuffled labels mean nothing, so whatever they reach above chance is leakage.
#
# The manifest has one row per image:

# %%
manifest = result.manifest
manifest.loc[manifest["flags"] != "", ["path", "label", "patient", "group", "flags"]].head().assign(
    path=lambda table: table["path"].map(lambda path: Path(path).name)
)

# %% [markdown]
# ## Split it
#
# The protocol `grouped` keeps groups and patients whole. `random` is what most studies do; it is here to show what it does.

# %%
for protocol in ("random", "grouped"):
    table = bs.split(manifest, protocol=protocol)
    test, train = (table[table["part"] == part] for part in ("test", "train"))
    shared = test["group"].isin(train["group"]).sum()
    print(f"{protocol}: {shared} of {len(test)} test images share a group with a training image")

# %% [markdown]
# The last table is the grouped one. The empty name counts images that are left out: copies, and images with conflicting labels.

# %%
table.groupby(["part", "label"]).size().unstack()

# %% [markdown]
# ## Next
#
# - The same on the command line: `brainsift audit DIR -o audit`, then `brainsift split audit/manifest.csv -o split.csv`. The first command also writes a report with thumbnails.
# - Why this matters: [leakage](../concepts/leakage.md) and [shortcuts](../concepts/shortcuts.md).
# - Train on the split: [train and ship](train_and_ship.py).
