"""What all commands share: their errors, options and words."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from typing import Any, TypeVar

import click

from skelkit.errors import SkelkitError

__all__ = ["Commands", "example", "json_option", "overwrite_option", "parsed", "path_type"]

# The choices stand here as words, and not imported, so that --help need not wait for numba and h5py;
# a test holds them against the modules they name.
DATASET_NAMES = ("ntu60", "ntu120", "pku1", "pku2")
RECIPE_NAMES = ("isc", "ctrgcn", "raw")
AUGMENTATION_NAMES = (
    *("shear", "jitter", "rotation", "mirror", "bones", "parts", "axis"),
    *("crop", "speed", "resample", "reverse", "noise", "blur", "mask", "isc"),
)

Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """A group whose commands turn what a user or the disk can do into one line, and exit code 2 for wrong
    usage, 1 for what fails."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _usage_in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):  # a file's name need not be text
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except SkelkitError as error:
            raise click.ClickException(str(error)) from None
        except BrokenPipeError:  # click ends quietly, as when piped into head
            raise
        except MemoryError:
            raise click.ClickException("out of memory") from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from None
        except KeyboardInterrupt:
            raise click.ClickException("interrupted") from None


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            raise
        where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        raise click.UsageError(" ".join(error.format_message().split()) + where) from None


Given = TypeVar("Given")
Parsed = TypeVar("Parsed")


def parsed(option: str, parse: Callable[[Given], Parsed], value: Given) -> Parsed:
    """What an option says; as wrong usage where it says nothing."""
    try:
        return parse(value)
    except SkelkitError as error:
        raise click.UsageError(f"{option}: {error}") from None


def example(*texts: str) -> Callable[[Command], Command]:
    """Put copyable examples at the end of a command's help."""

    def add(command: Command) -> Command:
        lines = "\n  ".join(texts)
        command.__doc__ = f"{cleandoc(command.__doc__ or '')}\n\n\b\nExample:\n  {lines}"
        return command

    return add


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the store if it exists.")
path_type = click.Path(path_type=Path)
