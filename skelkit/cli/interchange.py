"""Stores from and to the formats of other programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from skelkit.cli.base import (
    RECIPE_NAMES,
    Choice,
    OutFile,
    Voice,
    counted,
    example,
    json_option,
    names_in_store,
    overwrite_option,
    parsed,
    path_type,
    recipe_line,
    with_voice,
)

FORMAT_NAMES = ("npz", "pyskl", "ctrgcn", "isc")
_NOTED = 5
"""Notes on the screen."""


@click.command("import")
@click.argument("file", type=path_type)
@click.option(
    "--from",
    "format_",
    required=True,
    type=Choice(FORMAT_NAMES),
    help="The file's format; of isc it is a folder.",
)
@click.option("--skeleton", required=True, help="Joint layout: ntu25, kinect20, coco17 or a .toml file.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME=COLUMN:VALUES",
    help="A train/test split by the values that train; can be given several times.",
)
@click.option("--recipe", type=Choice(RECIPE_NAMES), default="raw", show_default=True, help="Normalisation.")
@click.option("-o", "--out", required=True, type=OutFile(".h5"), help="The store to write.")
@overwrite_option
@json_option
@with_voice
@example("skelkit import nucla.npz --from npz --skeleton kinect20 --protocol xview=camera:1,2 -o nucla.h5")
def import_(
    file: Path,
    format_: str,
    skeleton: str,
    protocols: tuple[str, ...],
    recipe: str,
    out: Path,
    overwrite: bool,
    as_json: bool,
    voice: Voice,
) -> None:
    """Make a store of skeletons in another format."""
    from skelkit.datasets import parse_protocol
    from skelkit.interchange import import_file
    from skelkit.skeleton import load_layout

    rules = dict(parsed("--protocol", parse_protocol, text) for text in protocols)
    if len(rules) < len(protocols):
        raise click.UsageError("--protocol: the same name is given twice")
    layout = parsed("--skeleton", load_layout, skeleton)
    voice.say(recipe_line(recipe))
    with voice.stage(f"reading {file}, writing {out}"), voice.compiling():
        report = import_file(
            file, out, layout, format=format_, protocols=rules, recipe=recipe, overwrite=overwrite
        )
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(report)}))
    else:
        from skelkit.show import protocol_lines
        from skelkit.store import Store

        with Store(out) as store:
            click.echo(f"{out}: {counted(report.kept, 'sequence')}, recipe {store.recipe['name']}")
            for line in protocol_lines(store):
                click.echo(line)
        shown = 0 if voice.quiet else len(report.notes) if voice.verbose else _NOTED
        for note in report.notes[:shown]:
            click.echo(f"  note       {note}")
        if len(report.notes) > shown > 0:
            click.echo(f"  note       and {len(report.notes) - shown} more, which --verbose tells")
        click.echo(f"  content    {report.content_hash}")


@click.command()
@click.argument("file", metavar="FILE.h5", type=path_type)
@click.option("--to", "format_", required=True, type=Choice(FORMAT_NAMES), help="The format to write.")
@click.option(
    "--protocol",
    metavar="NAME",
    shell_complete=names_in_store(lambda store: store.protocols),
    help="The split to write; npz and pyskl write all without it.",
)
@click.option("-o", "--out", required=True, type=path_type, help="The file to write; of isc a folder.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@json_option
@with_voice
@example("skelkit export ntu60.h5 --to isc --protocol xsub -o xsub")
def export(
    file: Path,
    format_: str,
    protocol: str | None,
    out: Path,
    overwrite: bool,
    as_json: bool,
    voice: Voice,
) -> None:
    """Write a store's skeletons in another format."""
    from skelkit.interchange import export_store

    with voice.stage(f"reading {file}, writing {out}"):
        written = export_store(file, out, format=format_, protocol=protocol, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(written)}))
    else:
        click.echo(f"{out}: {counted(written.sequences, 'sequence')}")
        for note in () if voice.quiet else written.notes:
            click.echo(f"  note       {note}")
