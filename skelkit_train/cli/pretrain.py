"""Runs: trained, or made of published weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from skelkit.cli.base import (
    RECIPE_NAMES,
    Choice,
    Voice,
    counted,
    example,
    json_option,
    names_in_store,
    parsed,
    path_type,
    with_voice,
)
from skelkit.errors import SkelkitError
from skelkit_train.cli.base import PRESET_NAMES, device_option, picked_device, protocol_rule, require


@click.command()
@click.argument("data", type=path_type, required=False)
@click.option("-o", "--out", "run", type=path_type, help="The run: a folder to make.")
@click.option(
    "--protocol",
    callback=protocol_rule,
    shell_complete=names_in_store(lambda store: store.protocols),
    help="One of the store's, or COLUMN:VALUES that train, as subject:1-16.  [default: xsub]",
)
@click.option("--representations", help="seq, graph, image, or several joined by +.  [default: seq+graph]")
@click.option("--preset", type=Choice(PRESET_NAMES), help="Named settings; small is for a CPU.")
@click.option("--config", type=path_type, help="A TOML file with settings, like the config.toml of a run.")
@click.option("--epochs", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--seed", type=click.IntRange(0), help="Of everything random.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Any other setting.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run and its settings; only epochs and what is written when may change.",
)
@click.option("--print-config", is_flag=True, help="Print the resolved settings as TOML, and do nothing.")
@device_option
@json_option
@with_voice
@example("skelkit-train pretrain ntu60.h5 --protocol xsub --representations seq+graph -o runs/isc")
def pretrain(
    data: Path | None,
    run: Path | None,
    preset: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    resume: bool,
    print_config: bool,
    device: str,
    as_json: bool,
    voice: Voice,
    **flags: Any,
) -> None:
    """Pretrain encoders by skeleton contrast (arXiv 2108.03656).

    DATA is a store. One representation alone is contrasted with itself, several with each other. Without
    --preset the settings are the paper's for NTU RGB+D 60. Ctrl-C saves after the step, and stops. On several
    GPUs or machines: torchrun [...] -m skelkit_train pretrain, with the same arguments.
    """
    from skelkit_train.config import PRESETS, parse_setting, read_toml, resolve

    given = {name: value for name, value in flags.items() if value is not None}
    begun = run / "config.toml" if run and resume else None
    files = (
        read_toml(begun) if begun and begun.exists() else {},
        PRESETS[preset] if preset else {},
        read_toml(config) if config else {},
    )
    settings_given = dict(parsed("--set", parse_setting, text) for text in settings)
    try:
        resolved = resolve(*files, settings_given, given)
    except SkelkitError as error:
        try:
            resolve(*files)
        except SkelkitError as of_file:
            if str(of_file) == str(error):  # then the usage is right
                raise SkelkitError(f"{config or begun}: {error}") from None
        raise click.UsageError(str(error)) from None
    if print_config:
        click.echo(json.dumps(asdict(resolved)) + "\n" if as_json else resolved.to_toml(), nl=False)
        return
    if data is None:
        raise click.UsageError("Missing argument 'DATA'.")
    if run is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    require("file", data)

    with voice.stage("loading torch"):
        from skelkit_train.distributed import is_first
        from skelkit_train.pretrain import pretrain as train

    if not is_first():  # one voice among the ranks
        voice = Voice(quiet=True)
    where = picked_device(device, voice)
    for name, value in asdict(resolved).items():
        voice.say(f"  {name} = {value}")
    with voice.stage(f"training {run}"), voice.compiling():
        metrics = train(data, run, resolved, device=where, resume=resume, progress=not voice.quiet)
    if not is_first():
        return
    if as_json:
        click.echo(json.dumps({"run": str(run), **metrics}))
        return
    click.echo(f"{run}: {counted(metrics['epoch'], 'epoch')}, loss {metrics['loss']:.3f}")
    for name, value in metrics.items():
        if name.startswith("accuracy"):
            click.echo(f"  contrastive {name}  {value:.1%}")


@click.command("import-checkpoint")
@click.argument("file", type=path_type)
@click.option("-o", "--out", "run", type=path_type, required=True, help="The run: a folder to make.")
@click.option(
    "--representations",
    help="Those that the file must have: seq, graph, image, or two joined by +.  [default: those it has]",
)
@click.option(
    "--layout",
    default="ntu25",
    show_default=True,
    help="Of the joints: a name, or an own layout's .toml file.",
)
@click.option(
    "--recipe",
    type=Choice(RECIPE_NAMES),
    default="isc",
    show_default=True,
    help="The recipe of the stores that the weights can be used on.",
)
@json_option
@with_voice
@example("skelkit-train import-checkpoint checkpoint_0450.pth.tar --representations seq+graph -o runs/isc")
def import_checkpoint(
    file: Path,
    run: Path,
    representations: str | None,
    layout: str,
    recipe: str,
    as_json: bool,
    voice: Voice,
) -> None:
    """Make a run of a checkpoint of the paper's published code.

    FILE is a .pth.tar as that code saves it, or the bare state dict in it; nothing in it is executed. The
    sizes of the model are those of its weights. The run is for evaluation: training cannot go on with it.
    """
    with voice.stage("loading torch"):
        from skelkit_train import published

    with voice.stage(f"reading {file}, writing {run}"):
        found = published.import_checkpoint(
            file, run, representations=representations, layout=layout, recipe=recipe
        )
    names = found.config.representations
    if as_json:
        facts = {"representations": names, "bodies": found.config.bodies, "epoch": found.epoch}
        click.echo(json.dumps({"run": str(run), **facts, "absent": found.absent}))
        return
    trained = f"{found.epoch} epochs" if found.epoch else "unknown epochs"
    click.echo(f"{run}: {names} after {trained}, for stores of layout {layout} and recipe {recipe}")
    if found.absent and not voice.quiet:
        click.echo(f"  not in the file, and not needed by evaluation: {', '.join(found.absent)}")
