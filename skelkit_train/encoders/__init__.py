"""The encoders of the three representations: views (N, T, M, V, C) float32 -> features (N, D).

Each is built from ``layout``, ``bodies`` and ``frames`` (the V, M and T of its input), and sizes of its own
that default to the paper's; ``features`` is its D.
"""

from torch import nn

from skelkit_train.encoders.agcn import AGCNEncoder
from skelkit_train.encoders.gru import GRUEncoder
from skelkit_train.encoders.hcn import HCNEncoder

__all__ = ["ENCODERS", "AGCNEncoder", "GRUEncoder", "HCNEncoder"]

ENCODERS: dict[str, type[nn.Module]] = {
    "seq": GRUEncoder,
    "graph": AGCNEncoder,
    "image": HCNEncoder,
}
"""The encoder of each representation."""
