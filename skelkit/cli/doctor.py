"""Look at the machine and the installation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skelkit import __version__
from skelkit.cli.base import Voice, example, json_option, with_voice

_COLOURS = {"ok": "green", "missing": "yellow", "bad": "red"}


@click.command()
@json_option
@with_voice
@example("skelkit doctor")
def doctor(as_json: bool, voice: Voice) -> None:
    """Say what is here, and what is missing for which feature.

    Ends with exit code 1 where something is bad; what is missing is optional.
    """
    from skelkit.doctor import examine

    with voice.stage("looking"):
        findings = examine(Path())
    bad = [finding for finding in findings if finding.state == "bad"]
    if as_json:
        facts = [finding.facts() for finding in findings]
        click.echo(json.dumps({"skelkit": __version__, "good": not bad, "findings": facts}))
    else:
        click.echo(f"skelkit {__version__}")
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            state = click.style(f"{finding.state:7}", fg=_COLOURS[finding.state])
            advice = f"\n{'':{width + 10}}{finding.advice}" if finding.advice else ""
            click.echo(f"{state}  {finding.what:{width}} {finding.found}{advice}")
    if bad:
        raise click.exceptions.Exit(1)
