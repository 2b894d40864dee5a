"""How does the cost of an audit grow with the number of images, and what would a million cost?

Random parts of all image sets are audited from scratch in one process; the CPU seconds of each stage are fitted by a
power of n. The estimate for a million applies that power to the largest part.

Usage:
    BRAINSIFT_DATA=../shared/data python bench/audit_growth.py [--sizes 1000 2000 4000 8000]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from brainsift.neighbours import NeighbourConfig, Views, candidates, near_duplicates
from brainsift.scan import scan
from brainsift.sources import collect

MILLION = 1_000_000
STAGES = ("reading", "lookup", "lookup and check")
Seconds = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    table = everything(Path(os.environ.get("BRAINSIFT_DATA", "../shared/data")))
    order = table.sample(frac=1, random_state=arguments.seed)
    rows = [measured(order.head(size).reset_index(drop=True)) for size in arguments.sizes]
    growth = pd.DataFrame(rows, index=pd.Index(arguments.sizes, name="images"))
    print(growth.round(2).to_string())
    total = 0.0
    for stage in STAGES:
        power = exponent(arguments.sizes, growth[stage])
        expected = growth[stage].iloc[-1] * (MILLION / arguments.sizes[-1]) ** power
        total += expected if stage != "lookup" else 0.0  # the last stage holds it
        print(f"{stage:18} grows as n^{power:.2f}; a million images: {expected / 3600:.2f} CPU hours")
    print(f"all of it: {total / 3600:.1f} CPU hours")


def everything(data: Path) -> pd.DataFrame:
    names = ("br35h", "preet", "cheng", "lgg", "kinds44")
    return collect([f"{name}={data / name}" for name in names])


def measured(table: pd.DataFrame) -> Seconds:
    clock = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        facts, sketches = scan(table, Path(folder) / "scan.sqlite")
    reading = time.process_time() - clock
    ok = facts[facts["status"] == "ok"].join(table["channel"]).drop_duplicates(["pixels_sha256", "channel"])
    rows = [sketches.rows[key] for key in zip(ok["sha256"], ok["channel"], strict=True)]
    views = Views(sketches.frame[rows], sketches.head[rows], sketches.box[rows])
    clock = time.process_time()
    candidates(views, NeighbourConfig())
    lookup = time.process_time() - clock
    clock = time.process_time()
    near_duplicates(views)
    return dict(zip(STAGES, (reading, lookup, time.process_time() - clock), strict=True)) | {"distinct": len(views)}


def exponent(sizes: list[int], seconds: pd.Series) -> float:
    """Returns the slope of the logarithms: 1 is linear, 2 is quadratic."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


if __name__ == "__main__":
    main()
