"""The golden arrays of the paper's own models, and the weights they were made with."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

Weights = Callable[[Iterable[str]], dict[str, Tensor]]


@pytest.fixture(scope="session")
def golden() -> Mapping[str, NDArray[np.generic]]:
    """What is in ``golden/models.npz``, which lies beside the checkout on developers' machines only."""
    path = Path(__file__).parents[3] / "shared" / "golden" / "models.npz"
    if not path.exists():
        pytest.skip(f"no golden arrays of the published models: {path} is not on this machine")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def formula_weights() -> Weights:
    """From lines ``name (shape)`` the state dict that the golden models were given (golden/README.md)."""
    return _formula_weights


def _formula_weights(lines: Iterable[str]) -> dict[str, Tensor]:
    shapes = {name: ast.literal_eval(shape) for name, shape in (str(line).split(" ", 1) for line in lines)}
    return {name: _weight(name, shapes[name], k) for k, name in enumerate(sorted(shapes))}


def _weight(name: str, shape: tuple[int, ...], k: int) -> Tensor:
    if "num_batches_tracked" in name or "ptr" in name:
        return torch.zeros(shape, dtype=torch.long)
    size = int(np.prod(shape))
    x = (np.arange(size, dtype=np.uint64) + 1 + 7919 * k) * 2654435761 % 2**32
    x = (x ^ (x >> 16)) * 2246822519 % 2**32
    x = (x ^ (x >> 13)) * 3266489917 % 2**32
    noise = (x ^ (x >> 16)) / 2**31 - 1
    if name.endswith("running_var"):
        value = 1 + 0.1 * noise
    elif name.endswith("PA"):
        value = 0.1 * noise
    elif len(shape) >= 2:
        value = noise * np.sqrt(3 / (size // shape[0]))
    elif name.endswith("weight"):
        value = 1 + 0.1 * noise
    else:
        value = 0.1 * noise
    return torch.from_numpy(value.reshape(shape).astype(np.float32))
