"""Trains teachers, and a pupil of all of them, from one pack: for a machine with one GPU and without the images.

The teachers differ in their seeds and train side by side, since one network of this size does not fill a GPU; on CUDA
they compute in bf16. Then each is exported, and the pupil learns from the mean of their predictions on every augmented
image, as well as from labels and masks. What is finished is not done again: stopped at any moment, the same command
goes on. Bring the folder `pupil` back, and go on with `brainsift quantize`, `evaluate` and `export` where the images
are.

Usage:
    brainsift pack split.csv -o pack.zip                        # where the images are
    python bench/train_on_gpu.py pack.zip -o FOLDER [--teachers 3] [--epochs 40] [--pupil-epochs 60] [--flags FLAG ...]
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from brainsift.core.environment import cores

_MODEL = ("--model", "lite0", "--recipe", "release", "--strip", "0.35", "--findings", "0.3", "--reframed", "0.3")


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, kept")
    parser.add_argument("--teachers", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40, help="of each teacher, of 8,192 images")
    parser.add_argument("--pupil-epochs", type=int, default=60)
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="of `brainsift train`; comes last")
    arguments = parser.parse_args()
    folder: Path = arguments.output
    names = [f"teacher-{seed}" for seed in range(arguments.teachers)]
    cache = ("--cache", str(folder / "cache"))
    _train(
        {name: ("--seed", str(seed), "--epochs", str(arguments.epochs)) for seed, name in enumerate(names)}, arguments
    )
    for name in names:
        if not (folder / "bundles" / name / "bundle.json").exists():
            words = ["export", str(folder / name), "-o", str(folder / "bundles" / name), *cache]
            subprocess.run([sys.executable, "-m", "brainsift", *words], check=True)
    bundles = [str(folder / "bundles" / name) for name in names]
    _train({"pupil": ("--epochs", str(arguments.pupil_epochs), "--teachers", *bundles)}, arguments)
    print(f"Done: {folder / 'pupil'}")


def _train(settings: dict[str, Sequence[str]], arguments: argparse.Namespace) -> None:
    """Trains networks side by side, one process each."""
    threads = str(max(1, cores() // len(settings)))
    common = (*_MODEL, "--threads", threads, "--cache", str(arguments.output / "cache"), *arguments.flags)
    running = {}
    for name, own in settings.items():
        command = ["train", str(arguments.pack), "-o", str(arguments.output / name), *common, *own]
        running[name] = subprocess.Popen([sys.executable, "-m", "brainsift", *command])
    failed = [name for name, process in running.items() if process.wait() != 0]
    if failed:
        sys.exit(f"{', '.join(failed)} did not finish: see above. Start the same command again to go on.")


if __name__ == "__main__":
    main()
