"""The ``seq`` representation: a GRU over the frames, every frame one flat vector of coordinates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from skelkit.skeleton import JointLayout

__all__ = ["GRUEncoder"]


class GRUEncoder(nn.Module):
    """Stacked pairs of GRUs; views (N, T, M, V, C) -> features (N, 2 * hidden).

    Source: the sequence-based encoder of ISC, arXiv 2108.03656, with the sizes of its published code.

    ``direction`` says how the second GRU of a pair reads the frames:

    - ``"forward"``: from first to last, like the first one, and the features are the last frame's outputs.
      That is what the paper's "bidirectional" GRU computes, being fed frame by frame with its state carried
      along; the published weights need it.
    - ``"bidirectional"``: from last to first. The features are the state of each GRU of the last pair after
      it has read the whole sequence: the outputs of the last frame and of frame 0.

    Raises
    ------
    ValueError : ``direction`` is neither, or a size is below 1
    """

    def __init__(
        self,
        *,
        layout: JointLayout,
        bodies: int,
        frames: int,  # noqa: ARG002 - a GRU reads any number; all encoders are built alike
        hidden: int = 1024,
        layers: int = 3,
        direction: Literal["forward", "bidirectional"] = "forward",
    ) -> None:
        super().__init__()
        if direction not in ("forward", "bidirectional"):
            raise ValueError(f"direction is {direction!r}; expected 'forward' or 'bidirectional'")
        if min(bodies, hidden, layers) < 1:
            raise ValueError(f"bodies {bodies}, hidden {hidden} and layers {layers} must be at least 1")
        self.bodies = bodies
        self.direction = direction
        self.features = 2 * hidden
        inputs = [bodies * layout.size * 3] + [2 * hidden] * (layers - 1)
        # Single-layer GRUs: each reads the whole sequence in one kernel, whichever way its partner reads.
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.GRU(size, hidden, batch_first=True) for _ in range(2)) for size in inputs
        )
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)

    def forward(self, views: Tensor) -> Tensor:
        """views (N, T, M, V, C) -> features (N, 2 * hidden)."""
        x = views.flatten(2)
        first = second = x
        for pair in self.layers:
            ahead, other = cast(nn.ModuleList, pair)
            first, _ = ahead(x)
            if self.direction == "forward":
                second, _ = other(x)
            else:
                second = other(x.flip(1))[0].flip(1)
            x = torch.cat((first, second), dim=2)
        return torch.cat((first[:, -1], second[:, -1 if self.direction == "forward" else 0]), dim=1)

    def published_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every entry of the published encoder of these sizes (without ``fc.*``)."""
        shapes = {}
        for name, value in self.state_dict().items():
            _, layer, direction, parameter = name.split(".")
            reverse = "_reverse" if direction == "1" else ""
            shapes[f"encoder.gru.{parameter.removesuffix('0')}{layer}{reverse}"] = tuple(value.shape)
        return shapes

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This encoder's state dict from a published one (without ``fc.*``).

        Raises
        ------
        ValueError : an entry has another name than ``encoder.gru.<parameter>_l<layer>[_reverse]``
        """
        ours = {}
        for name, value in state.items():
            match = re.fullmatch(r"encoder\.gru\.(\w+)_l(\d+)(_reverse)?", name)
            if match is None:
                raise ValueError(f"not an entry of a published GRU encoder: {name}")
            parameter, layer, reverse = match.groups()
            if parameter == "weight_ih" and layer == "0":
                # A published frame is ordered (V, C, M), ours (M, V, C).
                value = value.reshape(len(value), -1, self.bodies).transpose(1, 2).flatten(1)
            ours[f"layers.{layer}.{1 if reverse else 0}.{parameter}_l0"] = value
        return ours
