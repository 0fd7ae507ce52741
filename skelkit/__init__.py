"""skelkit: raw skeleton recordings to normalised HDF5, and their augmentation.

What the commands do is here under a name each; docs/python.md shows all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skelkit import augment
    from skelkit.augment import augment_sequence
    from skelkit.conversion import convert
    from skelkit.differences import diff
    from skelkit.errors import InputError, SkelkitError, StoreError
    from skelkit.interchange import export_store, import_file
    from skelkit.merging import merge
    from skelkit.normalise import RECIPES
    from skelkit.preview import write_preview
    from skelkit.readers import read_file
    from skelkit.sequence import SkeletonSequence
    from skelkit.skeleton import JointLayout, load_layout
    from skelkit.store import Store
    from skelkit.store.verify import verify
    from skelkit.synthetic import synthesise

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "InputError",
    "JointLayout",
    "SkeletonSequence",
    "SkelkitError",
    "Store",
    "StoreError",
    "augment",
    "augment_sequence",
    "convert",
    "diff",
    "export_store",
    "import_file",
    "load_layout",
    "merge",
    "read_file",
    "synthesise",
    "verify",
    "write_preview",
]

_HOMES = {
    "RECIPES": "skelkit.normalise",
    "InputError": "skelkit.errors",
    "JointLayout": "skelkit.skeleton",
    "SkeletonSequence": "skelkit.sequence",
    "SkelkitError": "skelkit.errors",
    "Store": "skelkit.store",
    "StoreError": "skelkit.errors",
    "augment": "skelkit.augment",
    "augment_sequence": "skelkit.augment",
    "convert": "skelkit.conversion",
    "diff": "skelkit.differences",
    "export_store": "skelkit.interchange",
    "import_file": "skelkit.interchange",
    "load_layout": "skelkit.skeleton",
    "merge": "skelkit.merging",
    "read_file": "skelkit.readers",
    "synthesise": "skelkit.synthetic",
    "verify": "skelkit.store.verify",
    "write_preview": "skelkit.preview",
}

if not TYPE_CHECKING:  # a type checker would take any misspelt name for one that loads

    def __getattr__(name: str) -> Any:
        """Loaded when first asked for: --help need not wait for numba, h5py and scipy."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(_HOMES[name])
        return home if home.__name__ == f"{__name__}.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
