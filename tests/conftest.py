"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# The first example compiles kernels; tests never time anything.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
