"""The ``image`` representation: a sequence as an image of frames x joints, read by a co-occurrence CNN."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelkit.skeleton import JointLayout

__all__ = ["HCNEncoder"]


class HCNEncoder(nn.Module):
    """HCN; views (N, T, M, V, C) -> features (N, 4 * channels * (T / 16) ** 2), the maximum over bodies.

    Source: HCN, arXiv 1804.06055, section 3, as the image-based encoder of ISC has it: no final fully
    connected layers. 64 frames and 64 channels give the paper's 4096 features.

    Raises
    ------
    ValueError : ``frames`` is not a positive multiple of 16, or ``channels`` not a positive multiple of 2
    """

    def __init__(
        self,
        *,
        layout: JointLayout,
        bodies: int,  # noqa: ARG002 - takes any number; all encoders are built alike
        frames: int,
        channels: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if frames < 16 or frames % 16:
            raise ValueError(f"frames is {frames}; HCN halves them four times and needs a multiple of 16")
        if channels < 2 or channels % 2:
            raise ValueError(f"channels is {channels}; expected a multiple of 2")
        self.frames = frames
        self.features = 4 * channels * (frames // 16) ** 2
        self.position = _Stream(layout.size, frames, channels, dropout)
        self.motion = _Stream(layout.size, frames, channels, dropout)
        self.fusion = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * channels, 4 * channels, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, views: Tensor) -> Tensor:
        """views (N, T, M, V, C) -> features (N, 4 * channels * (T / 16) ** 2).

        Raises
        ------
        ValueError : the views have another number of frames than the encoder was built for
        """
        n, frames, m, joints, _ = views.shape
        if frames != self.frames:  # all layers would take them and give features of another size
            raise ValueError(f"views have {frames} frames; this encoder was built for {self.frames}")
        x = views.permute(0, 2, 4, 1, 3).flatten(0, 1)  # (N M, C, T, V): the bodies share all weights
        x = x.contiguous(memory_format=torch.channels_last)  # convolutions keep it, and are faster in it
        motion = F.interpolate(x.diff(dim=2), size=(frames, joints), mode="bilinear", align_corners=False)
        x = self.fusion(torch.cat((self.position(x), self.motion(motion)), dim=1))
        features: Tensor = x.reshape(n, m, -1).amax(dim=1)
        return features

    def published_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every entry of the published encoder of these sizes (without ``fc.*``)."""
        state = self.state_dict()
        return {
            f"{published}.{kind}": tuple(state[f"{part}.{kind}"].shape)
            for published, part in PUBLISHED_PARTS.items()
            for kind in ("weight", "bias")
        }

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This encoder's state dict from a published one (without ``fc.*``).

        Raises
        ------
        ValueError : an entry has a name that a published HCN does not have
        """
        ours = {}
        for name, value in state.items():
            part, _, kind = name.rpartition(".")
            if part not in PUBLISHED_PARTS:
                raise ValueError(f"not an entry of a published HCN encoder: {name}")
            ours[f"{PUBLISHED_PARTS[part]}.{kind}"] = value
        return ours


PUBLISHED_PARTS = {
    "conv1.0": "position.points.0",
    "conv2": "position.points.2",
    "conv3.0": "position.image.0",
    "conv4.0": "position.image.2",
    "conv1m.0": "motion.points.0",
    "conv2m": "motion.points.2",
    "conv3m.0": "motion.image.0",
    "conv4m.0": "motion.image.2",
    "conv5.0": "fusion.0",
    "conv6.0": "fusion.4",
}


class _Stream(nn.Module):
    """Point-level features of every joint, then global ones with the joints as channels (HCN, section 3)."""

    def __init__(self, joints: int, frames: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.points = nn.Sequential(
            nn.Conv2d(3, channels, 1),
            nn.ReLU(),
            # As many channels as frames: in the published code the image that follows is square.
            nn.Conv2d(channels, frames, (3, 1), padding=(1, 0)),
        )
        self.image = nn.Sequential(
            nn.Conv2d(joints, channels // 2, 3, padding=1),
            nn.MaxPool2d(2),
            nn.Conv2d(channels // 2, channels, 3, padding=1),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T, V) -> (B, channels, T / 4, T / 4)."""
        image = self.points(x).transpose(1, 3).contiguous(memory_format=torch.channels_last)
        y: Tensor = self.image(image)
        return y
