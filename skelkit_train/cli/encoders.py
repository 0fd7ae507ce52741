"""A run's encoders put to use elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from skelkit.cli.base import OutFile, Voice, counted, example, json_option, path_type, with_voice
from skelkit_train.cli.base import (
    device_option,
    picked_device,
    representation_option,
    require,
)


@click.command()
@click.argument("run", type=path_type)
@click.argument("data", type=path_type)
@click.option(
    "-o", "--out", required=True, type=OutFile(".h5", ".npz"), help="Where to, ending in .h5 or .npz."
)
@representation_option("One of the run's, or several joined by +; all of them if not given.")
@device_option
@json_option
@with_voice
@example(
    "skelkit-train embed runs/isc ntu60.h5 -o features.h5",
    "skelkit-train embed runs/isc S001C001P001R001A023.skeleton -o features.npz",
)
def embed(
    run: Path,
    data: Path,
    out: Path,
    representation: str | None,
    device: str,
    as_json: bool,
    voice: Voice,
) -> None:
    """Write the features of every sequence of a store, or of one raw file.

    DATA is a store, or an NTU RGB+D .skeleton file. The file has `name`, `label`, and for each
    representation an array (N, D) under its name.
    """
    require("run", run)
    require("file", data)
    with voice.stage("loading torch"):
        from skelkit_train.embed import check_features_path, write_features
        from skelkit_train.embed import embed as compute

    check_features_path(out)  # sooner than the features take their time
    where = picked_device(device, voice)
    with voice.stage(f"computing features of {data}"), voice.compiling():
        found = compute(run, data, device=where, representation=representation, progress=not voice.quiet)
    with voice.stage(f"writing {out}"):
        write_features(out, found)
    sizes = {name: values.shape[1] for name, values in found.features.items()}
    if as_json:
        click.echo(json.dumps({"out": str(out), "sequences": len(found.name), "features": sizes}))
    else:
        what = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        click.echo(f"{out}: {counted(len(found.name), 'sequence')}, features: {what}")


@click.command()
@click.argument("run", type=path_type)
@click.option("-o", "--out", required=True, type=OutFile(".onnx"), help="The file to write, ending in .onnx.")
@representation_option("One of the run's, or several joined by + for their features side by side.")
@json_option
@with_voice
@example("skelkit-train export runs/isc --representation seq -o encoder.onnx")
def export(run: Path, out: Path, representation: str | None, as_json: bool, voice: Voice) -> None:
    """Write an encoder as ONNX, and compare it with torch.

    Its input `views` is (N, T, M, V, C) float32, with any N; its output `features` is (N, D). Needs the extra
    onnx: pip install "skelkit[onnx]".
    """
    require("run", run)
    with voice.stage("loading torch"):
        from skelkit_train.export import export_onnx

    with voice.stage(f"writing {out}, and comparing it"):
        found = export_onnx(run, out, representation)
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(found)}))
    else:
        shape = " x ".join(map(str, found.views))
        click.echo(f"{out}: {found.representation}, views N x {shape} to features N x {found.features}")
        click.echo(f"  differs from torch by {found.difference:.1e} of the largest feature")
