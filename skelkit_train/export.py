"""A run's encoder as an ONNX file, compared with torch right after it is written (extra ``onnx``)."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.skeleton import JointLayout
from skelkit_train.checkpoint import load_latest
from skelkit_train.evaluate.features import Joined
from skelkit_train.evaluate.setting import representations

__all__ = ["Exported", "export_onnx"]

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TOLERANCE = 1e-4
"""Largest difference, as a share of the largest feature."""
_CHECKED = (1, 5)
"""Batch sizes compared."""


@dataclass(frozen=True)
class Exported:
    """An encoder as it was written: input ``views`` (N, T, M, V, C) float32, output ``features`` (N, D)."""

    representation: str
    views: tuple[int, ...]
    """(T, M, V, C); N is free."""
    features: int
    """D."""
    difference: float
    """Largest one to torch, as a share of the largest feature."""


def export_onnx(run: Path, out: Path, representation: str | None = None) -> Exported:
    """Write the encoder of a run's newest checkpoint.

    Parameters
    ----------
    out : the file, ending in .onnx, replaced if it exists
    representation : one, or several joined by + for their features side by side; None: the run's only one

    Raises
    ------
    SkelkitError : a package is missing; the run lacks the representation, or has several; the disk refuses;
        or onnxruntime computes something else than torch, and no file is written
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SkelkitError(f'{", ".join(missing)} is not installed; pip install "skelkit[onnx]"')
    if out.suffix != ".onnx":
        raise SkelkitError(f"{out}: the file's name must end in .onnx")
    checkpoint = load_latest(run)
    names = checkpoint.config.names
    if representation is None and len(names) > 1:
        raise SkelkitError(f"{run}: has {', '.join(names)}; --representation says which to export")
    (wanted,) = representations(run, names, representation or names[0])
    model = checkpoint.restore_model(torch.device("cpu"))
    encoder: nn.Module = Joined({name: model.encoder(name) for name in wanted})
    if len(wanted) == 1:
        encoder = model.encoder(wanted[0])
    encoder.eval().requires_grad_(False)
    joints = JointLayout.from_json(checkpoint.data.layout).size
    shape = (checkpoint.config.frames, checkpoint.data.bodies, joints, 3)
    with replacing(out, "the encoder") as temporary:
        _write(encoder, shape, temporary)
        features, difference = _compare(encoder, shape, temporary)
        if not difference <= _TOLERANCE:
            raise SkelkitError(
                f"{out}: not written: onnxruntime's features differ from torch's by {difference:.1e} of the "
                f"largest, expected at most {_TOLERANCE:.0e}"
            )
    return Exported("+".join(wanted), shape, features, difference)


def _write(encoder: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    views = torch.zeros(2, *shape)  # of 1 torch would conclude that N is always 1
    batch = {0: torch.export.Dim("batch", min=1)}
    # What the exporter says concerns its own insides; whether it did well is compared below.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            encoder,
            (views,),
            dynamo=True,
            dynamic_shapes=(batch,),
            input_names=["views"],
            output_names=["features"],
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)


def _compare(encoder: nn.Module, shape: tuple[int, ...], path: Path) -> tuple[int, float]:
    """D, and the largest difference between onnxruntime's features and torch's."""
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst, features = 0.0, 0
    for count in _CHECKED:
        views = np.random.default_rng(count).normal(size=(count, *shape)).astype(np.float32)
        with torch.inference_mode():
            wanted = encoder(torch.from_numpy(views)).numpy()
        (found,) = session.run(["features"], {"views": views})
        if found.shape != wanted.shape:
            return wanted.shape[1], float("inf")
        features = wanted.shape[1]
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max().clip(1e-12)))
    return features, worst
