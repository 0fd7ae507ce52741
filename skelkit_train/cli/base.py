"""What all commands share: their errors, options and words."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skelkit.cli.base import Choice, Commands, Failure, Voice, parsed
from skelkit.errors import SkelkitError, did_you_mean, no_such

if TYPE_CHECKING:
    import torch

__all__ = [
    "PRESET_NAMES",
    "REPRESENTATION_NAMES",
    "FiniteRange",
    "TrainCommands",
    "device_option",
    "picked_device",
    "plain_warnings",
    "protocol_rule",
    "representation_option",
    "require",
]

Command = TypeVar("Command", bound=Callable[..., Any])

# As in skelkit.cli: words here, so that --help need not wait for torch; a test holds them against the module.
PRESET_NAMES = ("small", "isc-ntu60", "isc-ntu120", "isc-pku1", "isc-pku2")
REPRESENTATION_NAMES = ("seq", "graph", "image")

# On Linux, on Windows, on a GPU.
_OUT_OF_MEMORY = ("allocate memory", "not enough memory", "out of memory")

device_option = click.option(
    "--device",
    type=Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)


def picked_device(name: str, voice: Voice) -> torch.device:
    """As `skelkit_train.data.pick_device`, and said."""
    import torch

    from skelkit_train.data import pick_device

    device = pick_device(name)
    what = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    voice.say(f"torch {torch.__version__} on {device}, {what}")
    return device


def require(what: str, path: Path) -> None:
    """Refuse a path where nothing is, sooner than torch is loaded.

    Raises
    ------
    SkelkitError : there is no such ``what``
    """
    if not path.exists():
        raise SkelkitError(f"{path}: {no_such(what, path)}")


class FiniteRange(click.FloatRange):
    """Numbers between two others; ``nan`` is none, and ``inf`` no end of an open range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def protocol_rule(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """The callback of ``--protocol``: see that a rule is one, sooner than torch is loaded."""
    if value is not None and ":" in value:
        from skelkit.datasets import Protocol

        parsed("--protocol", Protocol.parse, value)
    return value


def _representation(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    names = [] if value is None else value.split("+")
    unknown = [name for name in names if name not in REPRESENTATION_NAMES]
    if unknown:
        raise click.BadParameter(
            f"{value!r}: expected {', '.join(REPRESENTATION_NAMES)}, or some joined by +"
            + did_you_mean(unknown[0], REPRESENTATION_NAMES)
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

    def tells(self) -> bool:
        """Whether it is the first of the processes that torchrun started."""
        return os.environ.get("RANK", "0") == "0"

    def failure(self, error: BaseException) -> click.ClickException | None:
        """The line that tells it; None where skelkit is to blame."""
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return Failure('torch is not installed; pip install "skelkit[train]"')
        # torch has no other error for it on the CPU
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY):
            return Failure(
                "out of memory: try --device cpu, and in pretraining a smaller batch_size or queue"
            )
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")) or (
            isinstance(error, RuntimeError) and "C compiler" in str(error)
        ):
            why = str(error).strip().partition("\n")[0]
            return Failure(f"the encoders cannot be compiled ({why}); --set compile=off does without")
        return super().failure(error)
