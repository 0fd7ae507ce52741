"""What writing and reading a store agree on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skelkit.datasets import Split
from skelkit.skeleton import JointLayout

__all__ = ["FORMAT", "UNKNOWN", "VERSION", "Header", "Shard"]

FORMAT = "skelkit store"
VERSION = 3
UNKNOWN = -1


@dataclass(frozen=True)
class Shard:
    """Which part of a conversion a store is."""

    index: int
    """From 1."""
    of: int
    inputs: str
    """SHA-256 that tells the whole listing of inputs, the same in all parts."""


@dataclass(frozen=True)
class Header:
    """What holds for the whole store."""

    dataset: str
    layout: JointLayout
    recipe: Mapping[str, Any]
    """As `Recipe.describe` gives it."""
    classes: tuple[str, ...] = ()
    protocols: Mapping[str, Split] = field(default_factory=dict)
    shard: Shard | None = None
    """None: not a part of a larger conversion."""

    def content_fields(self) -> dict[str, Any]:
        """What the content hash knows of, ready for JSON: neither what the dataset is called nor that the
        store is a part says anything of the content."""
        return {
            "layout": json.loads(self.layout.to_json()),
            "classes": list(self.classes),
            "recipe": dict(self.recipe),
            "protocols": {name: str(protocol) for name, protocol in self.protocols.items()},
        }
