"""A run as a page to look at."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skelkit.cli.base import (
    OutFile,
    Voice,
    counted,
    example,
    json_option,
    names_in_store,
    path_type,
    with_voice,
)
from skelkit_train.cli.base import device_option, picked_device, protocol_rule, require


@click.command()
@click.argument("run", type=path_type)
@click.argument("data", type=path_type, required=False)
@click.option("-o", "--out", type=OutFile(".html"), help="The page to write.  [default: RUN/report.html]")
@click.option(
    "--protocol",
    callback=protocol_rule,
    shell_complete=names_in_store(lambda store: store.protocols),
    help="Of the store, for the map and the gallery.  [default: the run's]",
)
@device_option
@json_option
@with_voice
@example("skelkit-train report runs/isc ntu60.h5", "skelkit-train report runs/isc -o report.html")
def report(
    run: Path,
    data: Path | None,
    out: Path | None,
    protocol: str | None,
    device: str,
    as_json: bool,
    voice: Voice,
) -> None:
    """Write one HTML page about a run, which needs nothing from outside.

    It has the settings, the curves, and all evaluations that were made of the run, beside the paper's
    figures. With the store DATA also a map of the features, and a gallery in which queries and their nearest
    neighbours move.
    """
    require("run", run)
    if data is not None:
        require("file", data)
    with voice.stage("loading torch"):
        from skelkit_train.report import write_report

    if protocol and data is None:
        raise click.UsageError("--protocol is of the store DATA, which is not given")
    path = out or run / "report.html"
    where = picked_device(device, voice)
    with voice.stage(f"writing {path}"):
        told = write_report(run, path, data, protocol=protocol, device=where, progress=not voice.quiet)
    if as_json:
        click.echo(json.dumps({"out": str(path), **told}))
        return
    rows = sum(len(evaluation["rows"]) for evaluation in told["evaluations"])
    click.echo(
        f"{path}: {counted(len(told['course']), 'epoch')}, "
        f"{counted(rows, 'result')} of {counted(len(told['evaluations']), 'evaluation')}"
    )
    if data is None:
        click.echo("  with the store it also has a map of the features and a retrieval gallery")
