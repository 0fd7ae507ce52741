"""A command that is sent a real Ctrl-C or SIGTERM, at a given place instead of after a given time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, os, signal, sys
package, module, name, number = sys.argv[1:5]
home = importlib.import_module(module)
wanted = getattr(home, name)

def interrupted(*args, **kwargs):
    os.killpg(os.getpgrp(), int(number))
    return wanted(*args, **kwargs)

setattr(home, name, interrupted)
importlib.import_module(f"{package}.cli").main(sys.argv[5:])
"""


def interrupted(
    package: str,
    words: list[str],
    where: str,
    folder: Path,
    number: int = signal.SIGINT,
    *,
    background: bool = False,
) -> subprocess.CompletedProcess[str]:
    """The command of a package, run in a folder, in the background of a script or not: as it comes to the
    function MODULE:NAME, it and its workers are sent a signal, as by a terminal or a queue."""
    command = [sys.executable, "-c", PROGRAM, package, *where.split(":"), str(int(number)), *words]
    if background:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, start_new_session=True)
