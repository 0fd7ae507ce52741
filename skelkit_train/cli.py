"""The command `skelkit-train`: parse, call one function, echo."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from skelkit import __version__
from skelkit.cli.base import Commands, example, json_option

__all__ = ["main"]

# As in skelkit.cli: words here, so that --help need not wait for torch; a test holds them against the module.
PRESET_NAMES = ("small", "isc-ntu60", "isc-ntu120", "isc-pku1", "isc-pku2")
REPRESENTATION_NAMES = ("seq", "graph", "image")

Command = TypeVar("Command", bound=Callable[..., Any])

_path = click.Path(path_type=Path)
_device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings are one line each, without their place in the source."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
        yield


class _TrainCommands(Commands):
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


@click.group(cls=_TrainCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skelkit-train")
@click.pass_context
def main(context: click.Context) -> None:
    """Contrastive pretraining on skeleton stores, and its evaluation."""
    context.with_resource(_plain_warnings())


@main.command()
@click.argument("data", type=_path)
@click.option("-o", "--out", "run", type=_path, help="The run: a folder to make.")
@click.option("--protocol", help="The store's protocol whose training part is used.  [default: xsub]")
@click.option("--representations", help="seq, graph, image, or several joined by +.  [default: seq+graph]")
@click.option("--preset", type=click.Choice(PRESET_NAMES), help="Named settings; small is for a CPU.")
@click.option("--config", type=_path, help="A TOML file with settings, like the config.toml of a run.")
@click.option("--epochs", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--seed", type=click.IntRange(0), help="Of everything random.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Any other setting.")
@click.option("--resume", is_flag=True, help="Go on with the run and its settings; only epochs may change.")
@click.option("--print-config", is_flag=True, help="Print the resolved settings, and do nothing.")
@_device
@json_option
@example("skelkit-train pretrain ntu60.h5 --protocol xsub --representations seq+graph -o runs/isc")
def pretrain(
    data: Path,
    run: Path | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    resume: bool,
    print_config: bool,
    device: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Pretrain encoders by skeleton contrast (arXiv 2108.03656).

    DATA is a store. One representation alone is contrasted with itself, several with each other. Without
    --preset the settings are the paper's for NTU RGB+D 60. Ctrl-C ends the epoch, saves, and stops.
    """
    from skelkit_train.config import PRESETS, parse_setting, read_toml, resolve

    given = {name: value for name, value in flags.items() if value is not None}
    begun = run / "config.toml" if run and resume else None
    resolved = resolve(
        read_toml(begun) if begun and begun.exists() else {},
        PRESETS[preset] if preset else {},
        read_toml(config) if config else {},
        dict(parse_setting(text) for text in settings),
        given,
    )
    if print_config:
        click.echo(json.dumps(asdict(resolved)) + "\n" if as_json else resolved.to_toml(), nl=False)
        return
    if run is None:
        raise click.UsageError("Missing option '-o' / '--out'.")

    from skelkit_train.data import pick_device
    from skelkit_train.pretrain import pretrain as train

    metrics = train(data, run, resolved, device=pick_device(device), resume=resume)
    if as_json:
        click.echo(json.dumps({"run": str(run), **metrics}))
        return
    click.echo(f"{run}: {metrics['epoch']} epochs, loss {metrics['loss']:.3f}")
    for name, value in metrics.items():
        if name.startswith("accuracy"):
            click.echo(f"  contrastive {name}  {value:.1%}")


@main.group("eval")
def evaluate() -> None:
    """Evaluate a run's encoders."""


def _evaluation_options(command: Command) -> Command:
    for add in (
        json_option,
        _device,
        click.option(
            "--baselines/--no-baselines",
            default=True,
            show_default=True,
            help="Also an untrained encoder and raw coordinates.",
        ),
        click.option(
            "--representation",
            type=click.Choice(REPRESENTATION_NAMES),
            help="One of the run's; all if not given.",
        ),
        click.option("--protocol", required=True, help="Train and test parts, as the store has them."),
        click.argument("data", type=_path),
        click.argument("run", type=_path),
    ):
        command = add(command)
    return command


@evaluate.command()
@click.option("--epochs", type=click.IntRange(1), default=80, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@_evaluation_options
@example("skelkit-train eval linear runs/isc ntu60.h5 --protocol xsub")
def linear(
    run: Path,
    data: Path,
    protocol: str,
    representation: str | None,
    baselines: bool,
    device: str,
    as_json: bool,
    epochs: int,
    seed: int,
) -> None:
    """Train one linear layer on the frozen encoder's features, and test it.

    The protocol of the paper: new random crops every epoch, SGD, the last epoch is the result.
    """
    from skelkit_train.data import pick_device
    from skelkit_train.evaluate.linear import LinearConfig
    from skelkit_train.evaluate.tasks import evaluate_linear

    found = evaluate_linear(
        run,
        data,
        protocol,
        config=LinearConfig(epochs=epochs, seed=seed),
        device=pick_device(device),
        representation=representation,
        baselines=baselines,
    )
    _echo(found, as_json)


@evaluate.command()
@click.option("-k", type=click.IntRange(1), default=1, show_default=True, help="Neighbours that vote.")
@_evaluation_options
@example("skelkit-train eval retrieval runs/isc ntu60.h5 --protocol xsub")
def retrieval(
    run: Path,
    data: Path,
    protocol: str,
    representation: str | None,
    baselines: bool,
    device: str,
    as_json: bool,
    k: int,
) -> None:
    """Give each test sample the class of its nearest training samples by cosine."""
    from skelkit_train.data import pick_device
    from skelkit_train.evaluate.tasks import evaluate_retrieval

    found = evaluate_retrieval(
        run,
        data,
        protocol,
        k=k,
        device=pick_device(device),
        representation=representation,
        baselines=baselines,
    )
    _echo(found, as_json)


def _echo(found: Any, as_json: bool) -> None:
    click.echo(json.dumps(asdict(found)) if as_json else f"{found.table()}\n  written to {found.path}")
