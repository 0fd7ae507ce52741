"""The command `skelkit`: how to call it, and what its answers must be."""

from __future__ import annotations

import json
import re
from typing import Any

from click.testing import CliRunner, Result

from skelkit import cli


def skelkit(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def fails(result: Result, said: str) -> None:
    """Exit code 1 and one line on standard error."""
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = [
        line
        for line in re.split(r"[\n\r]", result.stderr)
        if line and "file/s" not in line and "?file" not in line
    ]
    assert line.startswith("Error: ")
    assert re.search(said, line)


def only_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value
