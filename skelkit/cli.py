"""The command `skelkit`: parse, call one function, echo."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Any, TypeVar

import click

from skelkit import __version__
from skelkit.errors import SkelkitError

__all__ = ["Commands", "example", "json_option", "main"]

# The choices stand here as words, and not imported, so that --help need not wait for numba and h5py;
# a test holds them against the modules they name.
DATASET_NAMES = ("ntu60", "ntu120")
RECIPE_NAMES = ("isc", "raw")
AUGMENTATION_NAMES = ("shear", "jitter", "rotation", "crop", "resample", "isc")

Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """A group whose commands turn what a user or the disk can do into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
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


def example(text: str) -> Callable[[Command], Command]:
    """Put a copyable example at the end of a command's help."""

    def add(command: Command) -> Command:
        command.__doc__ = f"{cleandoc(command.__doc__ or '')}\n\n\b\nExample:\n  {text}"
        return command

    return add


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_path = click.Path(path_type=Path)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skelkit")
def main() -> None:
    """Raw skeleton recordings to normalised HDF5, and their augmentation."""


@main.command()
@click.argument("sources", nargs=-1, required=True, type=_path)
@click.option("--dataset", required=True, type=click.Choice(DATASET_NAMES), help="What the files are.")
@click.option("-o", "--out", required=True, type=_path, help="The store to write, ending in .h5.")
@click.option(
    "--recipe", type=click.Choice(RECIPE_NAMES), default="isc", show_default=True, help="Normalisation."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=_cores,
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
@click.option("--overwrite", is_flag=True, help="Replace the store if it exists.")
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


@main.command()
@click.argument("file", type=_path)
@click.option("--sample", metavar="NAME", help="Show one sequence.")
@json_option
@example("skelkit show ntu60.h5 --sample S001C001P001R001A023")
def show(file: Path, sample: str | None, as_json: bool) -> None:
    """Say what is in a store: sequences, classes, protocols, layout and recipe."""
    from skelkit.show import describe_sample, describe_store
    from skelkit.store import Store

    with Store(file) as store:
        facts, text = describe_sample(store, sample) if sample else describe_store(store)
    click.echo(json.dumps(facts) if as_json else text)


@main.command()
@click.argument("file", type=_path)
@json_option
@example("skelkit verify ntu60.h5")
def verify(file: Path, as_json: bool) -> None:
    """Check every byte of a store, and name the sequences that are damaged."""
    from skelkit.store import verify as run

    problems = run(file)
    if as_json:
        click.echo(json.dumps({"file": str(file), "intact": not problems, "problems": problems}))
    else:
        click.echo("\n".join(problems) or f"{file}: intact")
    if problems:
        raise click.exceptions.Exit(1)


@main.command("import")
@click.argument("file", type=_path)
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
@click.option("-o", "--out", required=True, type=_path, help="The store to write.")
@click.option("--overwrite", is_flag=True, help="Replace the store if it exists.")
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


@main.group()
def augment() -> None:
    """Augmentations."""


@augment.command()
@click.argument("file", type=_path)
@click.option("--sample", required=True, metavar="NAME", help="The sequence to show.")
@click.option(
    "--augment",
    "augmentations",
    multiple=True,
    type=click.Choice(AUGMENTATION_NAMES),
    help="What to show; can be given several times. All if not given.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the draws.")
@click.option(
    "--epoch", type=click.IntRange(0), default=0, show_default=True, help="Of a training, to replay."
)
@click.option("--view", type=click.IntRange(0, 1), default=0, show_default=True, help="0 query, 1 key.")
@click.option("-o", "--out", required=True, type=_path, help="Where to, ending in .html, .gif or .png.")
@json_option
@example("skelkit augment preview ntu60.h5 --sample S001C001P001R001A023 -o preview.html")
def preview(
    file: Path,
    sample: str,
    augmentations: tuple[str, ...],
    seed: int,
    epoch: int,
    view: int,
    out: Path,
    as_json: bool,
) -> None:
    """Show a sequence before and after augmentation, moving."""
    from skelkit.preview import drawn_lines, write_preview
    from skelkit.store import Store

    with Store(file) as store:
        place = store.place(sample)
        sequence = store.sequence(place)
        drawn = write_preview(
            sequence,
            store.layout,
            out,
            augmentations=augmentations or AUGMENTATION_NAMES,
            seed=seed,
            epoch=epoch,
            view=view,
            sample=place,
            class_name=store.class_name(sequence.label),
            recipe=store.recipe["name"],
        )
    if as_json:
        click.echo(json.dumps({"out": str(out), "seed": seed, "parameters": drawn}))
        return
    click.echo(f"{out}: {sample}, seed {seed}")
    for line in drawn_lines(drawn):
        click.echo(f"  {line}")


@main.command()
@click.argument("directory", type=_path)
@click.option(
    "--dataset", type=click.Choice(DATASET_NAMES), default="ntu60", show_default=True, help="The format."
)
@click.option("--classes", type=click.IntRange(1), default=10, show_default=True, help="Actions.")
@click.option("--subjects", type=click.IntRange(1), default=8, show_default=True, help="Performers.")
@click.option("--repeats", type=click.IntRange(1), default=2, show_default=True, help="Of each action.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
@example("skelkit synth raw --dataset ntu60 --classes 10 --subjects 8 --repeats 2")
def synth(
    directory: Path, dataset: str, classes: int, subjects: int, repeats: int, seed: int, as_json: bool
) -> None:
    """Write valid raw files of invented people, seen by three cameras, to try everything without any data."""
    from tqdm import tqdm

    from skelkit.synthetic import synthesise

    with tqdm(unit="file", desc="writing") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        files = synthesise(
            directory,
            dataset=dataset,
            classes=classes,
            subjects=subjects,
            repeats=repeats,
            seed=seed,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps({"directory": str(directory), "files": len(files)}))
    else:
        click.echo(f"{directory}: {len(files)} files")
