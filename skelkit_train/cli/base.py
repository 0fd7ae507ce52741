"""What all commands share: their errors, options and words."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from skelkit.cli.base import Commands

__all__ = [
    "PRESET_NAMES",
    "REPRESENTATION_NAMES",
    "TrainCommands",
    "device_option",
    "plain_warnings",
    "representation_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

# As in skelkit.cli: words here, so that --help need not wait for torch; a test holds them against the module.
PRESET_NAMES = ("small", "isc-ntu60", "isc-ntu120", "isc-pku1", "isc-pku2")
REPRESENTATION_NAMES = ("seq", "graph", "image")

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)


def _representation(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not set(value.split("+")) <= set(REPRESENTATION_NAMES):
        raise click.BadParameter(
            f"{value!r}: expected {', '.join(REPRESENTATION_NAMES)}, or some joined by +"
        )
    return value


def representation_option(text: str) -> Callable[[Command], Command]:
    """``--representation``, with its help."""
    return click.option("--representation", callback=_representation, metavar="NAME", help=text)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings are one line each, without their place in the source."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
        yield


class TrainCommands(Commands):
    """Commands to which want of torch or of memory is one line, too."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise click.ClickException('torch is not installed; pip install "skelkit[train]"') from None
        except RuntimeError as error:  # torch has no other error for it on the CPU
            if "not enough memory" in str(error) or "out of memory" in str(error):
                raise click.ClickException("out of memory: try a smaller batch_size or queue") from None
            raise
