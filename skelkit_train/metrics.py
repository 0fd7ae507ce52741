"""What a pretraining says of itself: sums over an epoch, metrics.jsonl, TensorBoard, the progress line."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.progress import progress_bar
from skelkit_train.contrast import ContrastOutput

__all__ = [
    "MetricsLog",
    "Progress",
    "Totals",
    "memory_in_use",
    "named_values",
    "read_metrics",
    "require_tensorboard",
]

_DAY = 86_400
_LOOK_STEPS = 50
_LOOK_SECONDS = 10


def named_values(output: ContrastOutput) -> tuple[list[str], Tensor]:
    """The names of a step's losses and accuracies, and their values (n,), on the device."""
    values = {"loss": output.loss.detach()}
    values |= {f"loss {term}": loss for term, loss in output.losses.items()}
    values |= {f"accuracy {term}": share for term, share in output.accuracies.items()}
    return list(values), torch.stack(list(values.values()))


class Totals:
    """Sums over the batches of one epoch, which may go on from a checkpoint's `state`.

    A step's values stay on the device until they are looked at, so that the host need not wait for every
    step. They are summed one by one, so that it does not matter when that is.
    """

    def __init__(self, begun: Mapping[str, Any] | None = None) -> None:
        begun = begun or {}
        self.batches: int = begun.get("batches", 0)
        self.samples: int = begun.get("samples", 0)
        self.sums: dict[str, float] = dict(begun.get("sums", {}))
        self._names: list[str] = []
        self._waiting: list[Tensor] = []
        self._looked = -math.inf
        self._began: float = time.perf_counter() - begun.get("seconds", 0.0)

    def add(self, names: list[str], values: Tensor, samples: int) -> None:
        """Count a step: its values (n,), ``loss`` among them, and its samples."""
        self.batches += 1
        self.samples += samples
        self._names = names
        self._waiting.append(values)

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        waited = time.perf_counter() - self._looked
        return len(self._waiting) >= _LOOK_STEPS or (bool(self._waiting) and waited > _LOOK_SECONDS)

    def look(self) -> int | None:
        """Sum the values that wait; the first batch (from 1) whose loss is not a finite number, if any."""
        bad = None
        before = self.batches - len(self._waiting)
        rows = torch.stack(self._waiting).tolist() if self._waiting else []
        for batch, row in enumerate(rows, before + 1):
            values = dict(zip(self._names, row, strict=True))
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            if bad is None and not math.isfinite(values["loss"]):
                bad = batch
        self._waiting.clear()
        self._looked = time.perf_counter()
        return bad

    def means(self) -> dict[str, float]:
        """Of what was looked at."""
        batches = self.batches - len(self._waiting)
        return {name: value / batches for name, value in self.sums.items()}

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def speed(self) -> float:
        """Samples a second."""
        return self.samples / self.seconds

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint, from which `Totals` goes on; all values must have been looked at."""
        return {
            "batches": self.batches,
            "samples": self.samples,
            "seconds": self.seconds,
            "sums": dict(self.sums),
        }


class Progress:
    """A line on standard error: the epoch, loss, accuracy, time left, speed and memory.

    Who reads it may be gone before the run is, as ``tee`` is after Ctrl-C, and the run is still to be saved.
    """

    def __init__(self, epochs: int, batches: int, done: int, device: torch.device, shown: bool) -> None:
        self.epochs = epochs
        self.device = device
        self.first: tuple[int, float] | None = None
        """Step and time when it was first shown."""
        self.told = False
        self.bar = progress_bar(
            total=epochs * batches,
            initial=done,
            unit="step",
            smoothing=0.05,
            shown=shown,
        )

    def step(self) -> None:
        with suppress(OSError):
            self.bar.update()

    def show(self, epoch: int, totals: Totals) -> None:
        """Bring it up to date in the epoch, counted from 0; the device has done all steps."""
        if self.first is None:
            self.first = int(self.bar.n), time.perf_counter()
        elif not self.told and self.bar.n > self.first[0] and self.bar.total is not None:
            self.told = True
            pace = (time.perf_counter() - self.first[1]) / (self.bar.n - self.first[0])
            days = pace * (self.bar.total - self.bar.n) / _DAY
            if days > 1:
                self.say(f"at the pace of the first steps this takes {days:.1f} days more")
        means = totals.means()
        accuracies = [value for name, value in means.items() if name.startswith("accuracy")]
        accuracy = sum(accuracies) / len(accuracies)
        self.bar.set_description(
            f"epoch {epoch + 1}/{self.epochs}  loss {means['loss']:.3f}  contrastive accuracy {accuracy:.1%}",
            refresh=False,
        )
        memory = memory_in_use(self.device) / 2**30
        self.bar.set_postfix_str(f"{totals.speed:.0f} samples/s, {memory:.1f} GiB", refresh=False)

    def say(self, text: str) -> None:
        """A line of its own."""
        with suppress(OSError):
            self.bar.write(text, sys.stderr)

    def close(self) -> None:
        with suppress(OSError):
            self.bar.close()


def memory_in_use(device: torch.device) -> int:
    """Bytes: at most reserved on a GPU so far, or this process's resident set (its peak without /proc)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no Linux
        return _peak_resident_set()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_resident_set() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MetricsLog:
    """``metrics.jsonl`` of a run, one line an epoch, and TensorBoard's files where they are wanted.

    What was written after the first ``epochs`` epochs is dropped, as it will be computed again, and so is
    what `read_metrics` leaves out.
    """

    def __init__(self, run: Path, epochs: int, *, tensorboard: bool) -> None:
        path = run / "metrics.jsonl"
        kept = [metrics for metrics in read_metrics(path)[0] if metrics["epoch"] <= epochs]
        with replacing(path, "the metrics") as temporary:
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board = None
        if tensorboard:
            self._board = require_tensorboard()(str(run / "tensorboard"), purge_step=epochs + 1)

    def write(self, metrics: Mapping[str, float]) -> None:
        """Add an epoch."""
        self._file.write(_line(metrics))
        self._file.flush()
        os.fsync(self._file.fileno())  # a checkpoint of this epoch may outlive a crash of the machine
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(name, value, metrics["epoch"])
            self._board.flush()

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The epochs in a ``metrics.jsonl``, none where there is no file, and how many lines were left out as
    damaged: no object of finite numbers with an ``epoch`` from 1 on.

    A last line without an end is being written, or was torn by a crash, and does not count.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    epochs = [metrics for metrics in map(_epoch, whole) if metrics is not None]
    return epochs, len(whole) - len(epochs)


def _epoch(line: bytes) -> dict[str, Any] | None:
    """The metrics of a line; None where it is damaged."""
    try:
        found = json.loads(line)
        intact = found["epoch"] >= 1 and all(map(math.isfinite, found.values()))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return found if intact else None


def _line(metrics: Mapping[str, float]) -> str:
    return json.dumps(metrics) + "\n"


def require_tensorboard() -> Any:
    """torch's class that writes TensorBoard's files.

    Raises
    ------
    SkelkitError : TensorBoard is not installed
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise SkelkitError('TensorBoard is not installed; pip install "skelkit[tensorboard]"') from None
    return SummaryWriter
