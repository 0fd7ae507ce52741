"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# Commands that tests start would ignore Ctrl-C as this process does in a script's background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example compiles kernels; tests never time anything.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
