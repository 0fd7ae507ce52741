"""Fine-tuning: encoder and linear layer are trained together, on all labels or on some; from random weights
it is the supervised baseline.

Source: arXiv 2108.03656, sections 4.3 and 4.5.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from skelkit.progress import progress_bar
from skelkit_train.data import Sequences, batches
from skelkit_train.evaluate.curve import Curve, Fitted
from skelkit_train.evaluate.features import Features, random_views
from skelkit_train.evaluate.linear import classifier

__all__ = ["FinetuneConfig", "finetune"]


@dataclass(frozen=True)
class FinetuneConfig:
    """The paper's."""

    epochs: int = 50
    # The learning rate is divided by 10 after these shares of the epochs: 30 and 40 of 50.
    milestones: tuple[float, ...] = (0.6, 0.8)
    learning_rate: float = 1e-4
    batch_size: int = 64
    score_every: int = 5
    """Epochs between scores for the curve: with few labels the test part is most of the work."""
    seed: int = 0


def finetune(
    sequences: Sequences,
    encoder: nn.Module,
    frames: int,
    train: NDArray[np.int64],
    held_out: dict[str, NDArray[np.int64]],
    config: FinetuneConfig,
    *,
    progress: bool = True,
    name: str = "finetune",
) -> Fitted:
    """Train a copy of the encoder, and a linear layer on it, on the places ``train`` (n,), on new random
    crops of ``frames`` frames every epoch; its logits on the centre crops of each of the parts ``held_out``,
    (m,) places by name, after the last epoch.

    Raises
    ------
    SkelkitError : the loss is not finite any more
    """
    device = sequences.rows.device
    labels = {part: torch.from_numpy(sequences.label[places]) for part, places in held_out.items()}
    curve = Curve({part: label.to(device) for part, label in labels.items()})
    encoder = copy.deepcopy(encoder).to(device)
    width = Features(sequences, encoder, frames, seed=0).centre(train[:1]).shape[1]
    layer = classifier(width, int(sequences.label.max()) + 1, config.seed)
    model = nn.Sequential(encoder, layer).to(device).requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    milestones = [round(share * config.epochs) for share in config.milestones]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    answers = Features(sequences, model, frames, seed=0)
    transform, step = random_views(frames), 0
    # Dropout draws from torch's own generator: it is seeded at every step, and left as it was found.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch in progress_bar(range(config.epochs), desc=name, unit="epoch", shown=progress, leave=False):
            model.train()
            for batch in batches(train, config.batch_size, config.seed, epoch, keep_last=True):
                torch.manual_seed(((config.seed << 32) + step) % 2**64)
                views = sequences.views(batch, transform, seed=config.seed, epoch=epoch)
                target = torch.from_numpy(sequences.label[batch]).to(device)
                loss = F.cross_entropy(model(views), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                curve.add(loss, len(batch))
                step += 1
            scheduler.step()
            scored = (epoch + 1) % config.score_every == 0 or epoch + 1 == config.epochs
            curve.end_epoch(
                {part: answers.centre(places) for part, places in held_out.items()} if scored else None
            )
    return curve.fitted()
