"""What all commands share: their errors, options and words."""

from __future__ import annotations

import io
import json
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from inspect import cleandoc
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import click

from skelkit import __version__
from skelkit.errors import InputError, SkelkitError, Stopped, did_you_mean

if TYPE_CHECKING:
    from skelkit.store import Store

__all__ = [
    "Choice",
    "Commands",
    "Failure",
    "OutFile",
    "Voice",
    "counted",
    "example",
    "json_option",
    "names_in_store",
    "overwrite_option",
    "parsed",
    "path_type",
    "recipe_line",
    "with_voice",
]

# The choices stand here as words, and not imported, so that --help need not wait for numba and h5py;
# a test holds them against the modules they name.
DATASET_NAMES = ("ntu60", "ntu120", "pku1", "pku2")
RECIPE_NAMES = ("isc", "ctrgcn", "raw")
AUGMENTATION_NAMES = (
    *("shear", "jitter", "rotation", "mirror", "bones", "parts", "axis"),
    *("crop", "speed", "resample", "reverse", "noise", "blur", "mask", "isc"),
)
PREVIEW_ENDINGS = (".html", ".gif", ".png")

Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """A group whose commands turn what a user or the disk can do into one line, and exit code 2 for wrong
    usage, 1 for what fails; where ``--json`` is among the words, into an object, too."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        as_json = "--json" in args and self.tells()
        with _in_json(as_json), _usage_in_one_line():
            context = super().make_context(info_name, args, *rest, **extra)
        context.meta["as_json"] = as_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):  # a file's name need not be text
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with _in_json(ctx.meta["as_json"]), self._failures(), _usage_in_one_line(), _sigterm_as_ctrl_c():
            return super().invoke(ctx)

    def tells(self) -> bool:
        """Whether this process is the one that speaks to programs."""
        return True

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            failure = self.failure(error)
            if failure is None:
                raise
            raise failure from None

    def failure(self, error: BaseException) -> click.ClickException | None:
        """The line that tells it; None where skelkit is to blame."""
        match error:
            case Stopped():
                return _Halt(str(error), stopped=True)
            case InputError():
                return Failure(str(error), **error.row())
            case SkelkitError():
                return Failure(str(error))
            case KeyboardInterrupt():
                return _Halt("interrupted", stopped=True)
            case RuntimeError() if "no locator available" in str(error):
                return Failure("no folder for compiled kernels can be written; set NUMBA_CACHE_DIR to one")
            case MemoryError():
                return Failure("out of memory")
            case BrokenPipeError():  # click ends quietly, as when piped into head
                return None
            case OSError():
                where = f"{error.filename}: " if error.filename else ""
                return Failure(f"{where}{error.strerror or error}")
        return None


class Failure(click.ClickException):
    """What failed, in one line."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts
        """More of it for programs."""


class _Halt(Failure):
    """An end that was asked for, and so no error."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=True)


@contextmanager
def _in_json(asked: bool) -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        if asked:
            facts = getattr(error, "facts", {})
            told = {"error": error.format_message(), "exit_code": error.exit_code, **facts}
            with suppress(OSError):  # the line on standard error says it in any case
                click.echo(json.dumps(told))
        raise


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, which queues and containers send, ends a command as cleanly, and with as clear a line."""
    taken = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if taken or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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


@dataclass(frozen=True)
class Voice:
    """How much a command says on standard error, beside its result."""

    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """A line for who wants to know more."""
        if self.verbose:
            click.echo(text, err=True)

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Say what begins, and how long it took."""
        began = time.perf_counter()
        self.say(what)
        yield
        self.say(f"{what}: {time.perf_counter() - began:.1f} s")

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Tell it if kernels have to be compiled: who runs the first command waits for them."""
        from numba.core import event

        class Teller(event.Listener):
            told = self.quiet

            def on_start(self, _: event.Event) -> None:
                if not self.told:
                    from tqdm import tqdm

                    tqdm.write("compiling kernels, some seconds; they are kept for the next time", sys.stderr)
                self.told = True

            def on_end(self, _: event.Event) -> None:
                pass

        with event.install_listener("numba:compile", Teller()):
            yield


def with_voice(command: Command) -> Command:
    """Add ``--quiet`` and ``--verbose``; the command is given them as ``voice``."""

    @click.option(
        "-q", "--quiet", is_flag=True, help="Only results and errors: no progress, notes or warnings."
    )
    @click.option("-v", "--verbose", is_flag=True, help="Say what is done, with what, and for how long.")
    @wraps(command)
    def run(*args: Any, quiet: bool, verbose: bool, **kwargs: Any) -> None:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose: give one of them")
        voice = Voice(quiet, verbose)
        began = time.perf_counter()
        voice.say(f"skelkit {__version__}, Python {platform.python_version()}, {platform.platform()}")
        with warnings.catch_warnings():
            if quiet:
                warnings.simplefilter("ignore")
            command(*args, voice=voice, **kwargs)
        voice.say(f"in all: {time.perf_counter() - began:.1f} s")

    return cast(Command, run)


def recipe_line(name: str) -> str:
    """A recipe and its steps, with their parameters."""
    from skelkit.normalise import RECIPES

    steps = []
    for step in RECIPES[name].describe()["steps"]:
        parameters = ", ".join(f"{key}={value}" for key, value in step.items() if key != "step")
        steps.append(f"{step['step']}({parameters})" if parameters else step["step"])
    return f"recipe {name}: {', '.join(steps)}"


def names_in_store(
    listed: Callable[[Store], Iterable[str]],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion by names in a store: the last argument before the option."""

    def complete(context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
        from skelkit.store import Store

        if not context.args:  # words that click leaves there as it meets an option without its value
            return []
        try:
            with Store(context.args[-1]) as store:
                return [name for name in listed(store) if name.startswith(begun)]
        except (SkelkitError, OSError):  # a word half typed is no place for an error
            return []

    return complete


class Choice(click.Choice[str]):
    """One of some words; what is like one of them is told."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = did_you_mean(str(value), self.choices)
            raise click.BadParameter(error.message + hint, ctx, param) from None


class OutFile(click.Path):
    """A file to write, whose ending says what it is."""

    def __init__(self, *endings: str) -> None:
        super().__init__(path_type=Path, readable=False)
        self.endings = endings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]  # as path_type says
        if path.suffix.lower() not in self.endings:
            self.fail(f"{path}: the name must end in {' or '.join(self.endings)}", param, ctx)
        return path


def counted(number: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {what}{'s' * (number != 1)}"


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, on standard output."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the store if it exists.")
path_type = click.Path(path_type=Path, readable=False)  # a file that cannot be read is no wrong usage
