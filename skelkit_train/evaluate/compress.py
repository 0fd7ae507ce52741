"""Features compressed by an autoencoder that is trained on the features of the training part.

Source: Predict & Cluster (arXiv 1911.12409), section 3.3, as in the retrieval of arXiv 2108.03656: D - 1024 -
512 - 125 and back, with tanh, Adam, mean squared error; sizes and rates of the published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelkit.progress import progress_bar
from skelkit_train.data import batches

__all__ = ["CompressConfig", "compress"]


@dataclass(frozen=True)
class CompressConfig:
    """The published code's."""

    features: int = 125
    """Of the compressed features."""
    epochs: int = 400
    steps: int = 5000
    """But no more: the published rate, 0.001 less a twentieth every 50 steps, is next to nothing then."""
    learning_rate: float = 1e-3
    batch_size: int = 64
    seed: int = 0


def compress(
    train: Tensor, test: Tensor, config: CompressConfig, *, progress: bool = True
) -> tuple[Tensor, Tensor]:
    """Compressed features (n, d) and (m, d) of features (n, D) for training, and (m, D)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = _layers(train.shape[1], 1024, 512, config.features)
        encoder.append(nn.Tanh())
        decoder = _layers(config.features, 512, 1024, train.shape[1])
    autoencoder = nn.Sequential(encoder, decoder).to(train.device)
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=config.learning_rate)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 50, gamma=0.95)
    places = np.arange(len(train))
    steps = min(config.steps, config.epochs * -(-len(train) // config.batch_size))
    order = (
        batch
        for epoch in range(config.epochs)
        for batch in batches(places, config.batch_size, config.seed, epoch, keep_last=True)
    )
    bar = progress_bar(
        islice(order, steps), desc="autoencoder", unit="step", total=steps, shown=progress, leave=False
    )
    for batch in bar:
        rows = train[torch.from_numpy(batch).to(train.device)]
        loss = F.mse_loss(autoencoder(rows), rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    with torch.inference_mode():
        return encoder(train), encoder(test)


def _layers(*sizes: int) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
