"""The command `skelkit`: parse, call one function, echo."""

from __future__ import annotations

import click

from skelkit import __version__
from skelkit.cli.augment import augment
from skelkit.cli.base import Commands
from skelkit.cli.convert import convert, merge
from skelkit.cli.doctor import doctor
from skelkit.cli.interchange import export, import_
from skelkit.cli.stores import diff, show, verify
from skelkit.cli.synth import synth

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skelkit")
def main() -> None:
    """Raw skeleton recordings to normalised HDF5, and their augmentation."""


for command in (convert, merge, show, verify, diff, import_, export, augment, synth, doctor):
    main.add_command(command)
