"""Stores from and to the formats of other programs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skelkit.cli.base import RECIPE_NAMES, example, json_option, overwrite_option, path_type


@click.command("import")
@click.argument("file", type=path_type)
@click.option("--from", "format_", required=True, type=click.Choice(["npz"]), help="The file's format.")
@click.option("--skeleton", required=True, help="Joint layout: ntu25, kinect20, coco17 or a .toml file.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME=COLUMN:VALUES",
    help="A train/test split by the values that train; can be given several times.",
)
@click.option(
    "--recipe", type=click.Choice(RECIPE_NAMES), default="raw", show_default=True, help="Normalisation."
)
@click.option("-o", "--out", required=True, type=path_type, help="The store to write.")
@overwrite_option
@json_option
@example("skelkit import nucla.npz --from npz --skeleton kinect20 --protocol xview=camera:1,2 -o nucla.h5")
def import_(
    file: Path,
    format_: str,  # noqa: ARG001  npz is the only one yet
    skeleton: str,
    protocols: tuple[str, ...],
    recipe: str,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a store of skeletons in another format."""
    from skelkit.datasets import parse_protocol
    from skelkit.interchange import import_npz
    from skelkit.skeleton import load_layout

    rules = dict(parse_protocol(text) for text in protocols)
    if len(rules) < len(protocols):
        raise click.UsageError("--protocol: the same name is given twice")
    count, content_hash = import_npz(
        file, out, load_layout(skeleton), protocols=rules, recipe=recipe, overwrite=overwrite
    )
    if as_json:
        click.echo(json.dumps({"out": str(out), "kept": count, "content_hash": content_hash}))
    else:
        from skelkit.show import protocol_lines
        from skelkit.store import Store

        click.echo(f"{out}: {count} sequences, recipe {recipe}")
        with Store(out) as store:
            for line in protocol_lines(store):
                click.echo(line)
        click.echo(f"  content    {content_hash}")
