"""Raw files to a store."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skelkit.cli.base import (
    DATASET_NAMES,
    RECIPE_NAMES,
    example,
    json_option,
    overwrite_option,
    parsed,
    path_type,
)

if TYPE_CHECKING:
    from skelkit.conversion import Report

_SHOWN, _NOTED = 5, 2
"""Rows of what was quarantined, and of notes, on the screen; the report has all."""


def _shard(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    index, _, of = value.partition("/")
    short = value.isascii() and len(value) < 16
    if not (short and index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
        raise click.BadParameter(f"{value!r}, expected I/N with I from 1 to N, as 2/5")
    return int(index), int(of)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=path_type)
@click.option("--dataset", required=True, type=click.Choice(DATASET_NAMES), help="What the files are.")
@click.option("-o", "--out", required=True, type=path_type, help="The store to write, ending in .h5.")
@click.option(
    "--recipe", type=click.Choice(RECIPE_NAMES), default="isc", show_default=True, help="Normalisation."
)
@click.option(
    "--labels", multiple=True, type=path_type, help="PKU-MMD: where the label files are, if not in SOURCES."
)
@click.option(
    "--splits",
    multiple=True,
    type=path_type,
    help="PKU-MMD: where the split files are, if not in SOURCES. Without any the published lists hold.",
)
@click.option(
    "--clips",
    "clip_rules",
    multiple=True,
    metavar="RULE=CHOICE",
    help="PKU-MMD: what becomes of clips. end=excluded|included: the last frame of a label; "
    "long=keep|cut|exclude: more than 300 frames; beyond=quarantine|cut: labels past the file's end; "
    "unlisted=keep|exclude: recordings in neither list of the split files; empty=exclude|keep: nobody "
    "there. The first of each is the default.",
)
@click.option("--workers", type=click.IntRange(1), show_default="cores", help="Processes.")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Let the workers of a dask scheduler do it, as tcp://host:8786."
)
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Only part I of N, for job arrays; skelkit merge puts them together.",
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
@example(
    "skelkit convert nturgbd_skeletons_s001_to_s017.zip --dataset ntu60 -o ntu60.h5",
    "skelkit convert Skeleton.zip --labels Label.zip --splits Split --dataset pku1 -o pku1.h5",
)
def convert(
    sources: tuple[Path, ...],
    dataset: str,
    out: Path,
    recipe: str,
    labels: tuple[Path, ...],
    splits: tuple[Path, ...],
    clip_rules: tuple[str, ...],
    workers: int | None,
    scheduler: str | None,
    shard: tuple[int, int] | None,
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

    from skelkit.clips import parse_rules
    from skelkit.conversion import convert as run

    if (clip_rules or labels or splits) and not dataset.startswith("pku"):
        raise click.UsageError(f"--clips, --labels and --splits are for PKU-MMD, not for {dataset}")
    if scheduler and workers:
        raise click.UsageError("--workers: a scheduler has workers of its own; give one or the other")
    report = run(
        sources,
        out,
        dataset=dataset,
        recipe=recipe,
        labels=labels,
        splits=splits,
        clips=parsed("--clips", parse_rules, clip_rules),
        workers=workers,
        scheduler=scheduler,
        shard=shard,
        stop_on_bad=on_bad == "stop",
        overwrite=overwrite,
        fresh=fresh,
    )
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(report)}))
    else:
        _tell(report, out)


def _tell(report: Report, out: Path) -> None:
    shard = f", shard {report.shard}" if report.shard else ""
    files = f"{report.found} file{'s' * (report.found != 1)}"
    click.echo(f"{out}: {report.kept} sequences of {files} in {report.seconds:.1f} s{shard}")
    for reason, count in Counter(row["reason"] for row in report.excluded).items():
        click.echo(f"  excluded     {count}: {reason}")
    if len(report.quarantined) > _SHOWN:
        click.echo(f"  quarantined  {len(report.quarantined)}, the first of them:")
    for row in report.quarantined[:_SHOWN]:
        line = f", line {row['line']}" if row["line"] else ""
        click.echo(f"  quarantined  {row['file']}{line}: {row['reason']}")
    for row in report.notes[:_NOTED]:
        click.echo(f"  note         {row['name']}: {'; '.join(row['notes'])}")
    if len(report.notes) > _NOTED:
        click.echo(
            f"  note         on the bodies of {len(report.notes) - _NOTED} more sequences, in the report"
        )
    if report.ignored:
        click.echo(f"  ignored      {len(report.ignored)} other files")
    click.echo(f"  report       {out.with_suffix('.report.json')}")
    click.echo(f"  content      {report.content_hash}")


@click.command()
@click.argument("parts", nargs=-1, required=True, type=path_type)
@click.option("-o", "--out", required=True, type=path_type, help="The store to write, ending in .h5.")
@overwrite_option
@json_option
@example("skelkit merge ntu60.1.h5 ntu60.2.h5 ntu60.3.h5 -o ntu60.h5")
def merge(parts: tuple[Path, ...], out: Path, overwrite: bool, as_json: bool) -> None:
    """Put the shards of a conversion together into one store.

    All of them must be given; the result has the same content as a conversion in one go. Stores that are no
    shards are merged too, where recipe, layout, classes and protocols are the same and no sequence is twice.
    """
    from skelkit.merging import merge as run

    count, content_hash = run(parts, out, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"out": str(out), "kept": count, "content_hash": content_hash}))
    else:
        click.echo(f"{out}: {count} sequences of {len(parts)} stores\n  content      {content_hash}")
