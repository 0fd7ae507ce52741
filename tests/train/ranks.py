"""What each process does under ``torchrun`` in `test_distributed`.

``exchange`` checks what goes between the ranks. All others run skelkit-train with the arguments that follow;
in the middle of an epoch ``die`` kills rank 1, and ``stop`` tells the launcher to end.
"""

from __future__ import annotations

import copy
import os
import signal
import sys
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from skelkit_train.cli import main
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.distributed import (
    SynchronisedNorm,
    gathered,
    is_first,
    joined,
    restarted,
    synchronise_norms,
)

STEP = 5  # the middle one of the second epoch


def check_exchange():
    with joined(torch.device("cpu")) as ranks:
        assert ranks.size == 2
        assert ranks.first == is_first() == (ranks.rank == 0)
        assert not restarted()
        assert ranks.share(np.arange(7)).tolist() == [[0, 1, 2], [3, 4, 5]][ranks.rank]
        assert [ranks.any(False), ranks.any(ranks.first), ranks.any(not ranks.first)] == [False, True, True]
        assert ranks.mean(torch.tensor([ranks.rank, 3.0])).tolist() == [0.5, 3]
        assert ranks.from_first(lambda: {"rank": ranks.rank}) == {"rank": 0}
        rows = torch.tensor([[0.0], [1.0]]) + 10 * ranks.rank
        assert gathered(rows).flatten().tolist() == [0, 1, 10, 11]

        model = nn.Linear(2, 1)
        model.weight.grad = torch.full((1, 2), float(ranks.rank))
        ranks.average_gradients(model)
        assert model.weight.grad.tolist() == [[0.5, 0.5]]
        assert model.bias.grad is None
        check_contrast(ranks)
        check_norms(ranks, nn.BatchNorm1d(3), torch.randn(8, 3, 5))
        check_norms(ranks, nn.BatchNorm2d(3), 3 + torch.randn(8, 3, 4, 2))


def check_contrast(ranks):
    """Without queues the negatives are those of the whole batch, on whatever rank."""
    torch.manual_seed(0)
    encoders = {name: nn.Sequential(nn.Flatten(), nn.Linear(6, 4)) for name in ("seq", "graph")}
    for encoder in encoders.values():
        encoder.features = 4
    model = ContrastiveModel(encoders, dim=5, queue_size=0)
    query, key = torch.randn(2, 8, 1, 1, 2, 3)
    one = copy.deepcopy(model)
    share = ranks.share(np.arange(8))
    model(query[share], key[share]).loss.backward()
    ranks.average_gradients(model)
    with (
        patch("skelkit_train.contrast.gathered", lambda rows: rows),
        patch("skelkit_train.contrast.own_rank", lambda: 0),
    ):
        one(query, key).loss.backward()
    for ours, wanted in zip(model.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def check_norms(ranks, norm, x):
    """Outputs, gradients and statistics are those that one process has on the whole batch."""
    torch.nn.init.normal_(norm.weight)
    for tensor in (x, norm.weight.detach()):
        tensor.copy_(ranks.from_first(lambda tensor=tensor: tensor))
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Identity())
    model[1] = nn.Sequential(type(norm)(3))
    model[1][0].load_state_dict(norm.state_dict())
    synchronise_norms(model)
    ours = model[1][0]
    assert isinstance(ours, SynchronisedNorm)
    part = x[ranks.share(np.arange(len(x)))].requires_grad_()
    whole = x.clone().requires_grad_()

    def loss(y, x):
        return (y**3 * x.detach()).mean()

    loss(norm(whole), whole).backward()
    y = ours(part)
    loss(y, part).backward()
    ranks.average_gradients(model)

    close = torch.testing.assert_close
    close(gathered(part.grad) / ranks.size, whole.grad, rtol=1e-4, atol=1e-6)
    close(ours.weight.grad, norm.weight.grad, rtol=1e-4, atol=1e-6)
    close(ours.bias.grad, norm.bias.grad, rtol=1e-4, atol=1e-6)
    close(ours.state_dict(), norm.state_dict())
    close(ours.eval()(part), norm.eval()(part))


def at_step(act):
    """Call it after the step number `STEP` of this process, unless it was restarted."""
    real, steps = torch.optim.SGD.step, []

    def step(self, *arguments):
        steps.append(real(self, *arguments))
        if len(steps) == STEP and not restarted():
            act()

    torch.optim.SGD.step = step


if __name__ == "__main__":
    torch.manual_seed(0)
    task, *arguments = sys.argv[1:]
    if task == "exchange":
        check_exchange()
    elif task == "die" and not is_first():
        at_step(lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif task == "stop" and is_first():
        at_step(lambda: os.kill(os.getppid(), signal.SIGTERM))
    if arguments:
        main(arguments)
