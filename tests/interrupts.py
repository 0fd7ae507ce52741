"""A command that is sent a real Ctrl-C, at a given place instead of after a given time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, os, signal, sys
package, module, name = sys.argv[1:4]
home = importlib.import_module(module)
wanted = getattr(home, name)

def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    return wanted(*args, **kwargs)

setattr(home, name, interrupted)
importlib.import_module(f"{package}.cli").main(sys.argv[4:])
"""


def interrupted(package: str, words: list[str], where: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command of a package, run in a folder and interrupted as it comes to the function MODULE:NAME."""
    command = [sys.executable, "-c", PROGRAM, package, *where.split(":"), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)
