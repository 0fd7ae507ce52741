"""The ``graph`` representation: adaptive graph convolutions over the joints, convolutions over the frames."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelkit.skeleton import JointLayout

__all__ = ["AGCNEncoder", "spatial_adjacency"]

SUBSETS = 3  # a joint itself, its children, its parent


def spatial_adjacency(layout: JointLayout) -> Tensor:
    """(3, V, V): identity, inward and outward edges; [s, i, j] is the weight of joint i in joint j.

    Source: 2s-AGCN, arXiv 1805.07694, section 3, in the direction and the normalisation (each column sums
    to 1, or to 0 where a joint has no such neighbour) of the published code.
    """
    inward = torch.zeros(layout.size, layout.size)
    for child, parent in layout.bones:
        inward[parent, child] = 1
    edges = torch.stack((torch.eye(layout.size), inward, inward.T))
    return edges / edges.sum(dim=1, keepdim=True).clamp(min=1)


class AGCNEncoder(nn.Module):
    """A-GCN; views (N, T, M, V, C) -> features (N, widths[-1]), the mean over frames, joints and bodies.

    Source: 2s-AGCN, arXiv 1805.07694, section 4; its joint stream is the graph-based encoder of ISC.
    ``widths`` gives each block's channels; where they change, the block halves the frames. The default is the
    paper's ten blocks; fewer and narrower ones make a small model.

    Raises
    ------
    ValueError : no widths, or one that is not a positive multiple of 4
    """

    adjacency: Tensor

    def __init__(
        self,
        *,
        layout: JointLayout,
        bodies: int,
        frames: int,  # noqa: ARG002 - takes any number; all encoders are built alike
        widths: Sequence[int] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256),
    ) -> None:
        super().__init__()
        if not widths or any(width < 4 or width % 4 for width in widths):
            raise ValueError(f"widths are {tuple(widths)}; expected one or more multiples of 4")
        self.features = widths[-1]
        self.register_buffer("adjacency", spatial_adjacency(layout), persistent=False)
        self.input_norm = nn.BatchNorm1d(bodies * layout.size * 3)
        self.blocks = nn.ModuleList([_Block(3, widths[0], layout.size, residual=False)])
        self.blocks.extend(_Block(before, after, layout.size) for before, after in pairwise(widths))

    def forward(self, views: Tensor) -> Tensor:
        """views (N, T, M, V, C) -> features (N, widths[-1])."""
        n, _, m, v, c = views.shape
        x = self.input_norm(views.flatten(2).transpose(1, 2))
        x = x.unflatten(1, (m, v, c)).permute(0, 1, 3, 4, 2).flatten(0, 1)  # (N M, C, T, V)
        for block in self.blocks:
            x = block(x, self.adjacency)
        features: Tensor = x.reshape(n, m, self.features, -1).mean(dim=(1, 3))
        return features

    def published_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every entry of the published encoder of these sizes (without ``fc.*``)."""
        published = {part: name for name, part in PUBLISHED_PARTS.items()}
        shapes: dict[str, tuple[int, ...]] = {}
        for name, value in self.state_dict().items():
            shape = tuple(value.shape)
            if name.startswith("input_norm."):
                shapes[name.replace("input_norm", "data_bn")] = shape
                continue
            _, number, part = name.split(".", 2)
            block = f"l{int(number) + 1}"
            owner, _, kind = part.rpartition(".")
            if part in published:
                shapes[f"{block}.{published[part]}"] = shape
            elif owner in published:
                shapes[f"{block}.{published[owner]}.{kind}"] = shape
            elif owner == "graph.embed":
                for branch in (f"conv_{ab}.{s}" for ab in "ab" for s in range(SUBSETS)):
                    shapes[f"{block}.gcn1.{branch}.{kind}"] = (shape[0] // (2 * SUBSETS), *shape[1:])
            else:  # graph.mix has the subsets side by side in its input, and one bias for their sum
                inputs = (shape[1] // SUBSETS, *shape[2:]) if kind == "weight" else ()
                for s in range(SUBSETS):
                    shapes[f"{block}.gcn1.conv_d.{s}.{kind}"] = (shape[0], *inputs)
        return shapes

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This encoder's state dict from a published one (without ``fc.*``).

        Raises
        ------
        ValueError : an entry has a name that a published A-GCN does not have
        KeyError : the entries of one of the three subsets are missing
        """
        ours = {}
        for name, value in state.items():
            if name.startswith("data_bn."):
                ours[name.replace("data_bn", "input_norm")] = value
                continue
            match = re.fullmatch(r"l(\d+)\.(.+?)(?:\.(weight|bias|running_\w+|num_batches_tracked))?", name)
            if match is None:
                raise ValueError(f"not an entry of a published A-GCN encoder: {name}")
            block, part, kind = int(match[1]) - 1, match[2], match[3]
            if part in PUBLISHED_PARTS:
                ours[f"blocks.{block}.{PUBLISHED_PARTS[part]}{f'.{kind}' if kind else ''}"] = value
            elif part == "gcn1.conv_a.0":
                branches = [f"l{block + 1}.gcn1.conv_{ab}.{s}.{kind}" for ab in "ab" for s in range(SUBSETS)]
                ours[f"blocks.{block}.graph.embed.{kind}"] = torch.cat([state[b] for b in branches])
            elif part == "gcn1.conv_d.0":
                outs = [state[f"l{block + 1}.gcn1.conv_d.{s}.{kind}"] for s in range(SUBSETS)]
                fused = torch.cat(outs, dim=1) if kind == "weight" else torch.stack(outs).sum(dim=0)
                ours[f"blocks.{block}.graph.mix.{kind}"] = fused
            elif re.fullmatch(r"gcn1\.conv_[abd]\.[012]", part) is None:
                raise ValueError(f"not an entry of a published A-GCN encoder: {name}")
        return ours


PUBLISHED_PARTS = {
    "gcn1.PA": "graph.learned",
    "gcn1.bn": "graph.norm",
    "gcn1.down.0": "graph.shortcut.0",
    "gcn1.down.1": "graph.shortcut.1",
    "tcn1.conv": "time.0",
    "tcn1.bn": "time.1",
    "residual.conv": "shortcut.0",
    "residual.bn": "shortcut.1",
}


class _Block(nn.Module):
    """Graph convolution, then temporal convolution, with a shortcut (2s-AGCN, figure 3)."""

    def __init__(self, before: int, after: int, joints: int, residual: bool = True) -> None:
        super().__init__()
        stride = 2 if residual and before != after else 1
        self.graph = _GraphConvolution(before, after, joints)
        self.time = _convolution(after, after, kernel=9, stride=stride)
        self.residual = residual
        self.shortcut = _convolution(before, after, kernel=1, stride=stride) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """x (B, C, T, V), adjacency (3, V, V) -> (B, C', T', V)."""
        y: Tensor = self.time(self.graph(x, adjacency))
        if self.residual:
            y = y + self.shortcut(x)
        return F.relu(y)


class _GraphConvolution(nn.Module):
    """Adaptive graph convolution: fixed + learned + attention adjacency (2s-AGCN, equation 3, figure 2).

    The published code has a convolution for each of the three subsets and sums their results; here each
    triple is one convolution over concatenated channels, which computes the same.
    """

    def __init__(self, before: int, after: int, joints: int) -> None:
        super().__init__()
        embedding = after // 4
        self.learned = nn.Parameter(torch.full((SUBSETS, joints, joints), 1e-6))
        self.embed = nn.Conv2d(before, 2 * SUBSETS * embedding, 1)
        self.mix = nn.Conv2d(SUBSETS * before, after, 1)
        self.norm = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity() if before == after else _convolution(before, after, kernel=1)
        # Each published convolution starts from its own size: a fused one's would be too small for embed.
        nn.init.normal_(self.embed.weight, 0, math.sqrt(2 / embedding))
        nn.init.normal_(self.mix.weight, 0, math.sqrt(2 / self.mix.weight.numel()))
        for convolution in (self.embed, self.mix):
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        # A block starts as its shortcut and grows its graph convolution from there.
        nn.init.constant_(self.norm.weight, 1e-6)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """x (B, C, T, V), adjacency (3, V, V) -> (B, C', T, V)."""
        theta, phi = self.embed(x).unflatten(1, (2, SUBSETS, -1)).flatten(3, 4).unbind(1)  # (B, 3, E T, V)
        attention = torch.softmax(theta.transpose(2, 3) @ phi / theta.shape[2], dim=-2)
        graph = attention + adjacency + self.learned  # (B, 3, V, V)
        gathered = torch.einsum("bctv,bsvw->bsctw", x, graph).flatten(1, 2)
        return F.relu(self.norm(self.mix(gathered)) + self.shortcut(x))


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution over the frames and batch normalisation, initialised as in the published code."""
    convolution = nn.Conv2d(before, after, (kernel, 1), stride=(stride, 1), padding=(kernel // 2, 0))
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))
