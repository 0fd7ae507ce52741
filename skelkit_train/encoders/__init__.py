"""The encoders of the three representations: views (N, T, M, V, C) float32 -> features (N, D).

Each is built from ``layout``, ``bodies`` and ``frames`` (the V, M and T of its input), and sizes of its own
that default to the paper's; ``features`` is its D. ``published_shapes`` says which entries the published
encoder of its sizes has, and ``from_published`` gives its state dict from them.
"""

from skelkit_train.encoders.agcn import AGCNEncoder
from skelkit_train.encoders.gru import GRUEncoder
from skelkit_train.encoders.hcn import HCNEncoder

__all__ = ["ENCODERS", "AGCNEncoder", "Encoder", "GRUEncoder", "HCNEncoder"]

Encoder = GRUEncoder | AGCNEncoder | HCNEncoder

ENCODERS: dict[str, type[Encoder]] = {
    "seq": GRUEncoder,
    "graph": AGCNEncoder,
    "image": HCNEncoder,
}
"""The encoder of each representation."""
