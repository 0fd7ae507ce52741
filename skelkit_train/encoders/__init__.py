"""The encoders of the three representations: views (N, T, M, V, C) float32 -> features (N, D).

Each is built from ``layout``, ``bodies`` and ``frames`` (the V, M and T of its input), and sizes of its own
that default to the paper's; ``features`` is its D, and ``from_published`` gives its state dict from the
entries of a published checkpoint.
"""

from skelkit_train.encoders.agcn import AGCNEncoder
from skelkit_train.encoders.gru import GRUEncoder
from skelkit_train.encoders.hcn import HCNEncoder

__all__ = ["ENCODERS", "AGCNEncoder", "GRUEncoder", "HCNEncoder"]

ENCODERS: dict[str, type[GRUEncoder] | type[AGCNEncoder] | type[HCNEncoder]] = {
    "seq": GRUEncoder,
    "graph": AGCNEncoder,
    "image": HCNEncoder,
}
"""The encoder of each representation."""
