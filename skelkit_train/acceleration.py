"""What makes a training step fast, and changes its rounding alone: bfloat16, compilation, fused updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from skelkit_train.config import PretrainConfig
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.encoders import GRUEncoder

__all__ = ["backward", "compile_encoders", "full_float32", "is_compiled", "is_mixed", "make_optimizer"]

_LOSS_SCALE = 2.0**8


def is_mixed(config: PretrainConfig, device: torch.device) -> bool:
    """Whether matrix products are to be in bfloat16: as the configuration says, or for ``auto`` on a GPU that
    has such units."""
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return config.precision == "bfloat16"


@contextmanager
def full_float32() -> Iterator[None]:
    """A block in which float32 is float32 on a GPU, too: by itself torch rounds what goes into convolutions
    and GRUs to TF32, of 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def backward(loss: Tensor, parameters: Sequence[nn.Parameter], mixed: bool) -> None:
    """Gradients of a loss, a scalar; ``mixed``: it was computed under autocast."""
    if not (mixed and loss.is_cuda):
        loss.backward()
        return
    # autocast runs cuDNN's GRU in float16 whatever it is asked for (torch's AutocastRNN.cpp), and there small
    # gradients would vanish. A power of 2 rounds nothing in the other formats.
    loss.backward(torch.full_like(loss, _LOSS_SCALE))
    torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], 1 / _LOSS_SCALE)


def is_compiled(config: PretrainConfig, device: torch.device) -> bool:
    """Whether the encoders are to be compiled: as the configuration says, or for ``auto`` on a GPU."""
    if config.compile == "auto":
        # The exchange between the processes inside of a norm would cut the compiled graph into pieces.
        return device.type == "cuda" and not config.synchronised_norms
    return config.compile == "on"


def compile_encoders(model: ContrastiveModel) -> None:
    """Compile the encoders in place when they are first called; the names of their weights stay.

    The compiler also chooses the memory layout (channels last or not) of their convolutions. GRUs are left
    out: they are one kernel of cuDNN's already.
    """
    for branch in (*model.query.values(), *model.key.values()):
        encoder = cast(nn.Sequential, branch)[0]
        if not isinstance(encoder, GRUEncoder):
            encoder.compile(dynamic=False)


def make_optimizer(query: nn.Module, config: PretrainConfig) -> torch.optim.Optimizer:
    """Of the query encoders and heads; fused: one pass over a weight, its gradient and its momentum."""
    settings: dict[str, Any] = {
        "lr": config.learning_rate,
        "weight_decay": config.weight_decay,
        "fused": True,
    }
    if config.optimizer == "adamw":
        return torch.optim.AdamW(query.parameters(), **settings)
    return torch.optim.SGD(query.parameters(), momentum=0.9, **settings)
