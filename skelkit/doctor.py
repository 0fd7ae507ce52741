"""What this machine and installation have, and what is missing for which feature."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Finding", "examine"]

_PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "h5py", "click", "pillow", "tqdm")
_OPTIONAL = {
    "torch": ("pretraining and evaluation", "pip install 'skelkit[train]'"),
    "distributed": ("convert --scheduler", "pip install 'skelkit[cluster]'"),
    "tensorboard": ("watching a pretraining in TensorBoard", "pip install tensorboard"),
    "onnxruntime": ("exporting encoders to ONNX", "pip install 'skelkit[onnx]'"),
}
_ENOUGH_MEMORY = 2 << 30
_ENOUGH_DISK = 4 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: str
    """``ok``, ``missing`` (an optional thing), or ``bad`` (something will not work)."""
    found: str
    advice: str = ""

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def examine(folder: Path) -> list[Finding]:
    """Look at everything; ``folder`` is where stores are to be written."""
    return [
        _python(),
        *map(_package, _PACKAGES),
        _hdf5(),
        _kernels(),
        _cores(),
        _memory(),
        _disk("disk", folder),
        _gpu(),
        *(_optional(name, *of) for name, of in _OPTIONAL.items()),
    ]


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("Python", "ok", found)
    return Finding("Python", "bad", found, "skelkit is tested with 3.11 and 3.12")


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "bad", "not installed", f"pip install {name}")


def _hdf5() -> Finding:
    try:
        import h5py
    except Exception as error:  # a broken extension can raise anything
        return Finding("HDF5", "bad", f"does not load: {error}", "reinstall h5py")
    return Finding("HDF5", "ok", h5py.version.hdf5_version)


def _kernels() -> Finding:
    """Whether compiled loops run, and whether they need to be compiled only once."""
    began = time.perf_counter()
    advice = "set NUMBA_CACHE_DIR to a folder that can be written"
    try:
        import numpy as np
        from numba import config

        from skelkit import kernels

        pose = np.ones((1, 1, 2, 3), np.float32)
        kernels.centre_frames(pose, 0, out := np.empty_like(pose))
    except RuntimeError as error:  # numba's, where it finds no place for its cache
        return Finding("kernels", "bad", str(error), advice)
    except Exception as error:  # a broken extension can raise anything
        mend = "reinstall numpy, numba and llvmlite"
        return Finding("kernels", "bad", f"numba does not load: {error}", mend)
    took = f"ready in {time.perf_counter() - began:.1f} s"
    if out.any():
        return Finding("kernels", "bad", "they compute wrong numbers", "reinstall numba and llvmlite")
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return Finding(
            "kernels", "bad", "not compiled", "unset NUMBA_DISABLE_JIT: all is a hundred times slower"
        )
    cache = str(kernels.centre_frames.stats.cache_path)
    if not os.access(cache, os.W_OK):
        return Finding("kernels", "bad", f"{took}, compiled by every process anew", advice)
    return Finding("kernels", "ok", f"{took}, cached in {cache}")


def _cores() -> Finding:
    try:
        from skelkit.workers import cores
    except Exception:  # without numpy, which is said elsewhere
        return Finding("cores", "ok", f"{os.cpu_count()} in the machine")
    return Finding("cores", "ok", f"{cores()} for this process, {os.cpu_count()} in the machine")


def _memory() -> Finding:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on this system
        return Finding("memory", "ok", "not known")
    found = f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of it free"
    if total < _ENOUGH_MEMORY:
        return Finding("memory", "bad", found, "enough for a conversion; training NTU RGB+D 60 wants 4 GiB")
    return Finding("memory", "ok", found)


def _disk(what: str, folder: Path) -> Finding:
    folder = folder.absolute()
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return Finding(what, "bad", f"{folder} cannot be written", "choose another folder")
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < _ENOUGH_DISK:
        return Finding(what, "bad", found, "converting NTU RGB+D 60 takes 4 GiB, half of it for a while")
    return Finding(what, "ok", found)


def _gpu() -> Finding:
    """As the driver tells it: skelkit itself never imports torch."""
    advice = "training works on a CPU too, with --preset small"
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("GPU", "missing", "no NVIDIA driver here", advice)
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return Finding("GPU", "missing", "the NVIDIA driver does not answer", advice)
    return Finding("GPU", "ok", "; ".join(done.stdout.splitlines()))


def _optional(name: str, feature: str, install: str) -> Finding:
    try:
        return Finding(name, "ok", f"{metadata.version(name)}, for {feature}")
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", f"not installed; needed for {feature}", install)
