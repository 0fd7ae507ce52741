"""Raw files to a store."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from skelkit.cli.base import (
    DATASET_NAMES,
    RECIPE_NAMES,
    cores,
    example,
    json_option,
    overwrite_option,
    path_type,
)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=path_type)
@click.option("--dataset", required=True, type=click.Choice(DATASET_NAMES), help="What the files are.")
@click.option("-o", "--out", required=True, type=path_type, help="The store to write, ending in .h5.")
@click.option(
    "--recipe", type=click.Choice(RECIPE_NAMES), default="isc", show_default=True, help="Normalisation."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=cores,
    show_default="cores",
    help="Processes.",
)
@click.option(
    "--on-bad",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="Leave bad files out and name them in the report, or stop at the first.",
)
@overwrite_option
@click.option("--fresh", is_flag=True, help="Start anew instead of taking up an interrupted conversion.")
@json_option
@example("skelkit convert nturgbd_skeletons_s001_to_s017.zip --dataset ntu60 -o ntu60.h5")
def convert(
    sources: tuple[Path, ...],
    dataset: str,
    out: Path,
    recipe: str,
    workers: int,
    on_bad: str,
    overwrite: bool,
    fresh: bool,
    as_json: bool,
) -> None:
    """Convert raw files into a normalised store.

    SOURCES are folders, .zip archives (read without unpacking them) and single files. Writes OUT.h5 and
    OUT.report.json. An interrupted conversion goes on where it was when the same command is given again.
    """
    from dataclasses import asdict

    from skelkit.convert import convert as run

    report = run(
        list(sources),
        out,
        dataset=dataset,
        recipe=recipe,
        workers=workers,
        stop_on_bad=on_bad == "stop",
        overwrite=overwrite,
        fresh=fresh,
    )
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(report)}))
        return
    click.echo(f"{out}: {report.kept} sequences of {report.found} files in {report.seconds:.1f} s")
    for reason, count in Counter(row["reason"] for row in report.excluded).items():
        click.echo(f"  excluded     {count}: {reason}")
    for row in report.quarantined[:5]:
        line = f", line {row['line']}" if row["line"] else ""
        click.echo(f"  quarantined  {row['file']}{line}: {row['reason']}")
    if len(report.quarantined) > 5:
        click.echo(f"  quarantined  {len(report.quarantined) - 5} more, named in the report")
    if report.ignored:
        click.echo(f"  ignored      {len(report.ignored)} other files")
    click.echo(f"  report       {out.with_suffix('.report.json')}")
    click.echo(f"  content      {report.content_hash}")
