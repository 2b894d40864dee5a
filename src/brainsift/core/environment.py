"""What a figure depends on besides the data: versions, commit, hardware."""

import os
import platform
import subprocess
from pathlib import Path

from brainsift import __version__

_PACKAGES = ("numpy", "pillow", "torch", "transformers", "onnxruntime", "scikit-learn", "pandas")


def describe() -> dict[str, str]:
    """Returns versions, commit and hardware, as words for people."""
    versions = {name: version for name in _PACKAGES if (version := _version(name))}
    return {
        "brainsift": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        **versions,
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(cores()),
        "memory_gib": _memory_gib(),
    }


def cores() -> int:
    """Counts the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """Returns the commit of a source checkout, "-dirty" where it was changed, or "" for an installed package."""
    folder = Path(__file__).parent
    try:
        _git(folder, "ls-files", "--error-unmatch", "errors.py")  # an environment inside another project's checkout
        return _git(folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return ""


def peak_memory_mb() -> float:
    """Returns the largest resident size of this process or of one of its ended children, MB; 0 where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(largest / (1024 if platform.system() == "Linux" else 1024**2), 1)


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def _version(package: str) -> str:
    from importlib import metadata  # takes as long to import as a small command does to run

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _memory_gib() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return ""
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f}"
