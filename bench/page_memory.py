"""Does the memory of the server stay flat while a list grows: 2,000 images, then 30 volumes that are looked at?

A real server on this machine scores drawn images in jobs that stay, as those of the page do, and draws a picture of
each; then NIfTI volumes, whose other planes it cuts. The table has its resident memory, MB.

Usage:
    python bench/page_memory.py [--images 2000] [--volumes 30]
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from processes import memory_mb, serving

from brainsift.client import Client
from brainsift.core.text import markdown_table
from brainsift.images.phantom import draw

AT_ONCE = 50  # images of a job
SIDE, SLICES = 192, 60
PATIENCE_S = 600.0


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--volumes", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        client, pid = Client(server.url, patience_s=PATIENCE_S), server.process.pid
        rows = [("at the start", memory_mb(pid))]
        for done in _score_images(client, Path(folder), arguments.images):
            if done % max(arguments.images // 5, AT_ONCE) == 0:
                rows.append((f"{done} images", memory_mb(pid)))
        for done in _score_volumes(client, Path(folder), arguments.volumes):
            if done % max(arguments.volumes // 6, 1) == 0:
                rows.append((f"and {done} volumes", memory_mb(pid)))
    print(markdown_table(("after", "MB"), [(name, f"{memory:.0f}") for name, memory in rows]))


def _score_images(client: Client, folder: Path, count: int) -> Iterator[int]:
    """Scores images, and yields how many are done."""
    heads = [draw(seed, tumor=seed % 2 == 0, size=2 * SIDE).pixels for seed in range(10)]
    for start in range(0, count, AT_ONCE):
        paths = []
        for number in range(start, min(start + AT_ONCE, count)):
            paths.append(folder / f"{number}.png")
            Image.fromarray(np.roll(heads[number % len(heads)], number % 7, axis=1)).save(paths[-1])
        job = client.submit(paths)
        job.result()
        for place, path in enumerate(paths):
            job.picture(place)
            path.unlink()
        yield start + len(paths)


def _score_volumes(client: Client, folder: Path, count: int) -> Iterator[int]:
    """Scores volumes, looks at their other planes, and yields how many are done."""
    for number in range(count):
        head = draw(number, tumor=number % 2 == 0, size=SIDE).pixels
        path = folder / f"{number}.nii.gz"
        stack = np.repeat(head[::-1, ::-1].T[..., None], SLICES, axis=2).astype(np.int16)
        nibabel.Nifti1Image(stack, np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(path)
        job = client.submit(path)
        job.result()
        path.unlink()
        planes = f"/api/v1/jobs/{job.id}/slices/0/planes"
        for plane in client.get(planes)["planes"]:
            client.read(f"{planes}/{plane['plane']}/{plane['count'] // 2}/picture.png")
        yield number + 1


if __name__ == "__main__":
    main()
