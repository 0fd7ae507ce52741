"""Several processes under ``torchrun``, on one machine or many: each is a *rank*, and rank 0 writes.

Without ``torchrun`` there is one rank, and nothing is exchanged. What decides and what ends a run goes
through gloo on the CPU, also where the GPUs speak NCCL: so the host need not wait for the device, and the end
of a process is heard of at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skelkit.errors import SkelkitError, Stopped

__all__ = [
    "Ranks",
    "SynchronisedNorm",
    "gathered",
    "is_first",
    "joined",
    "launch",
    "own_rank",
    "restarted",
    "synchronise_norms",
]

# Rank 0 may check a store, validate or write a checkpoint that long while the others wait.
_TIMEOUT = timedelta(hours=2)

_ADDRESS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""In the environment of a process that ``torchrun`` started."""

T = TypeVar("T")


def is_first() -> bool:
    """Whether this is the process that speaks and writes; also before and after `joined`."""
    return not _launched() or os.environ["RANK"] == "0"


def _launched() -> bool:
    return all(name in os.environ for name in _ADDRESS)


def restarted() -> bool:
    """Whether ``torchrun --max-restarts`` has started this process again after one failed."""
    return _restarts() > 0


def launch() -> str | None:
    """What tells this launch of ``torchrun`` from others, the same after its restarts; None without it."""
    if not _launched():
        return None
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return name if name != "none" else f"process {os.getppid()}"


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@dataclass(frozen=True)
class Ranks:
    """This process among all those of a run."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """This rank's part of a batch (n,): all parts are equally long, in rank order; a rest is left out."""
        length = len(batch) // self.size
        return batch[self.rank * length : (self.rank + 1) * length]

    def any(self, flag: bool) -> bool:
        """Whether it is true on some rank; all get the same answer."""
        if not _together():
            return flag
        flags = torch.tensor([int(flag)])
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the ranks, the same on all; the host does not wait for it."""
        if not _together():
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def from_first(self, work: Callable[[], T]) -> T:
        """What ``work`` gives on rank 0, which alone does it, while the others wait."""
        if not _together():
            return work()
        result = [work() if self.first else None]
        dist.broadcast_object_list(result, src=0)
        return cast(T, result[0])

    def average_gradients(self, model: nn.Module) -> None:
        """Put the mean over the ranks in the place of each gradient."""
        if not _together():
            return
        # One exchange in an order that never changes: DistributedDataParallel sorts its buckets anew after
        # the first step, so that a run that goes on would round differently.
        trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
        gradients = [cast(Tensor, parameter.grad) for parameter in trained]
        mean = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = mean.split([gradient.numel() for gradient in gradients])
        for parameter, part in zip(trained, parts, strict=True):
            parameter.grad = part.view_as(parameter)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, each on the GPU of its local rank; leave them at the end.

    Raises
    ------
    SkelkitError : no GPU for this process; the others cannot be reached, or have gone
    """
    if not _launched():
        yield Ranks(device)
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "gloo"
    if device.type == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        device = _own_gpu(rank)
    try:
        store, _, _ = next(dist.rendezvous("env://", rank, size, timeout=_TIMEOUT))  # type: ignore[attr-defined]
        if os.environ.get("GROUP_WORLD_SIZE") == "1":
            # torchrun's store still has the addresses from before a restart. Several machines count their
            # restarts apart: there TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 makes torchrun begin a store anew.
            store = dist.PrefixStore(f"attempt {_restarts()}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise SkelkitError(f"rank {rank} of {size}: cannot join the others: {_reason(error)}") from None
    try:
        yield Ranks(device, rank, size)
    except RuntimeError as error:
        if not _is_of_exchange(error):
            raise
        # Not left in order, here and where this rank alone fails: NCCL would wait for the others.
        raise SkelkitError(
            f"rank {rank} of {size}: another process of this run ended or cannot be reached "
            f"({_reason(error)}); if it ended, its own message says why; --resume goes on from the last "
            "checkpoint"
        ) from None
    except Stopped:  # as all were
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _own_gpu(rank: int) -> torch.device:
    local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= gpus:
        raise SkelkitError(
            f"rank {rank}: its machine has {gpus} GPUs; expected one for each process, "
            f"as torchrun --nproc-per-node {gpus} gives"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _is_of_exchange(error: RuntimeError) -> bool:
    # gloo has no error class of its own.
    words = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)


def _reason(error: Exception) -> str:
    """The first sentence of torch's, without the place in torch's source; of NCCL's the cause it tells."""
    cause = str(error).partition("Last error:\n")[2].strip()
    if cause:
        return cause.partition("\n")[0]
    line = re.sub(r"^\[\S+\] ", "", str(error).partition("\n")[0])
    return line.partition(". ")[0].strip()


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def own_rank() -> int:
    """This process's."""
    return dist.get_rank() if _together() else 0


def gathered(rows: Tensor) -> Tensor:
    """The rows (N, ...) of all ranks, (ranks N, ...) in rank order; no gradient goes through."""
    if not _together():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


class _Sum(torch.autograd.Function):
    """The sum over the ranks. So is its gradient: what one rank adds changes the losses of all."""

    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _sum(part: Tensor) -> Tensor:
    return cast(Tensor, _Sum.apply(part))  # type: ignore[no-untyped-call]


class SynchronisedNorm(nn.SyncBatchNorm):
    """Batch normalisation of (N, C, ...) whose statistics are those of all ranks' samples.

    torch's own on a GPU; the same, plainly, on the CPU, where torch's refuses to run.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, ...), as large on every rank -> the same shape."""
        if x.is_cuda or not (self.training and _together()):
            return super().forward(x)
        others = [dimension for dimension in range(x.ndim) if dimension != 1]
        shape = (1, -1, *[1] * (x.ndim - 2))
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _sum(x.sum(others)) / count
        centred = x - mean.view(shape)
        variance = _sum(centred.square().sum(others)) / count
        with torch.no_grad():
            momentum = cast(float, self.momentum)
            cast(Tensor, self.num_batches_tracked).add_(1)
            cast(Tensor, self.running_mean).lerp_(mean, momentum)
            cast(Tensor, self.running_var).lerp_(variance * (count / (count - 1)), momentum)
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        scaled: Tensor = normal * self.weight.view(shape) + self.bias.view(shape)
        return scaled


def synchronise_norms(model: nn.Module) -> None:
    """Put a `SynchronisedNorm` with the same weights and statistics in the place of each batch norm."""
    for module in list(model.modules()):
        for name, norm in list(module.named_children()):
            if isinstance(norm, _BatchNorm) and not isinstance(norm, nn.SyncBatchNorm):
                synchronised = SynchronisedNorm(
                    norm.num_features, norm.eps, norm.momentum, device=norm.weight.device
                )
                synchronised.weight, synchronised.bias = norm.weight, norm.bias
                synchronised.load_state_dict(norm.state_dict())
                setattr(module, name, synchronised)
