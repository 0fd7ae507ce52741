"""Write docs/commands.md from the commands themselves.

python tools/command_reference.py            writes it
python tools/command_reference.py --check    ends with 1 where it is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

import skelkit.cli
import skelkit_train.cli

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

What `--help` says of every command, in one page; written by `python tools/command_reference.py`.
"""


def helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """The name and the help of a command and of those below it."""
    settings = {"terminal_width": 100, "max_content_width": 100, **command.context_settings}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below, one in sorted(command.commands.items()):
            yield from helps(one, below, context)


def page() -> str:
    parts = [HEAD]
    for name, main in (("skelkit", skelkit.cli.main), ("skelkit-train", skelkit_train.cli.main)):
        parts += [f"\n## {path}\n\n```text\n{text}\n```\n" for path, text in helps(main, name)]
    return "".join(parts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"docs/{PAGE.name} is stale: python tools/command_reference.py writes it anew")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        PAGE.write_text(page(), encoding="utf-8")
