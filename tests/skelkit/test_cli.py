"""cli: what all commands share: help, exit codes, one line for an error, one object for --json."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from commands import only_json, skelkit

from skelkit import __version__, cli
from skelkit.augment import AUGMENTATIONS
from skelkit.cli import base
from skelkit.datasets import DATASETS
from skelkit.normalise import RECIPES
from skelkit.preview import FORMATS
from skelkit.readers import READERS
from skelkit.skeleton import LAYOUTS

ROOT = Path(__file__).parents[2]
BAD = {
    "error": "bad.skeleton: the name is 'bad'",
    "file": "bad.skeleton",
    "line": None,
    "reason": "the name is 'bad', expected SsssCcccPpppRrrrAaaa as in S001C001P001R001A001",
}


def commands(group: click.Group = cli.main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    result = skelkit(*path, "--help")
    assert result.exit_code == 0
    (example,) = re.findall(r"Example:\n +(skelkit .*)\n", result.stdout)
    words = example.split()[1:]
    assert words[: len(path)] == list(path)
    command: click.Command = cli.main
    for word in path:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    # The example is one that the command takes.
    context = command.make_context(example, words[len(path) :], resilient_parsing=False)
    assert context.params
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert option.help or option.name == "seed", f"{option.name} says nothing"
    assert any(option.name == "as_json" for option in command.params)
    assert skelkit(*path, "-h").stdout == result.stdout


def test_the_names_in_the_command_are_those_of_the_modules() -> None:
    assert tuple(DATASETS) == tuple(READERS) == base.DATASET_NAMES
    assert set(RECIPES) == set(base.RECIPE_NAMES)
    assert tuple(AUGMENTATIONS) == base.AUGMENTATION_NAMES
    assert FORMATS == base.PREVIEW_ENDINGS
    (option,) = [p for p in cli.import_.params if p.name == "skeleton"]
    assert isinstance(option, click.Option)
    assert all(name in str(option.help) for name in LAYOUTS)


def test_version() -> None:
    assert skelkit("--version").stdout == f"skelkit, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["convert"],
        ["convert", "x", "-o", "y.h5"],
        ["convert", "x", "--dataset", "ntu61", "-o", "y.h5"],
        ["convert", "x", "--dataset", "ntu60"],
        ["convert", "x", "--dataset", "ntu60", "-o", "y.h5", "--workers", "0"],
        ["convert", "x", "--dataset", "ntu60", "-o", "y.h5", "--recipe", "best"],
        ["show"],
        ["verify"],
        ["import", "x.npz", "-o", "y.h5", "--skeleton", "ntu25"],
        ["import", "x.npz", "-o", "y.h5", "--from", "csv", "--skeleton", "ntu25"],
        ["augment", "preview", "x.h5", "-o", "y.html"],
        ["augment", "preview", "x.h5", "--sample", "a", "-o", "y.html", "--augment", "magic"],
        ["augment", "preview", "x.h5", "--sample", "a", "-o", "y.html", "--seed", "-1"],
        ["synth", "x", "--classes", "0"],
        ["convert", "x", "--dataset", "ntu60", "-o", "x.zip"],
        ["augment", "preview", "x.h5", "--sample", "a", "-o", "y.mp4"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = skelkit(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    if arguments:
        assert re.fullmatch(r"Error: .* \(see main.* --help\)\n", result.stderr)
    else:
        assert "Usage: " in result.stderr


def test_misspelt_choices_are_suggested() -> None:
    for words, hint in (
        ("convert x --dataset ntu6 -o x.h5", "ntu60"),
        ("convert x --dataset ntu60 --recipe iscc -o x.h5", "isc"),
        ("augment preview x.h5 --sample a -o y.png --augment sheer", "shear"),
    ):
        result = skelkit(*words.split())
        assert result.exit_code == 2
        assert f"; did you mean {hint}? (see " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["show", "gone.h5"], 1, {"error": "gone.h5: no such file"}),
        (["show", "gone.h5", "--nonsense"], 2, {"error": "No such option '--nonsense'"}),
        (["nonsense"], 2, {"error": "No such command 'nonsense'"}),
        (["augment", "preview", "gone.h5", "--sample", "a", "-o", "a.png"], 1, {"error": "gone.h5: no such"}),
        (["augment", "preview", "gone.h5"], 2, {"error": "Missing option '--sample'"}),
        (["convert", "bad.skeleton", "--dataset", "ntu60", "-o", "a.h5", "--on-bad", "stop"], 1, BAD),
    ],
)
def test_an_error_is_an_object_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.skeleton").write_bytes(b"1\nx\n")
    result = skelkit(*arguments, "--json")
    assert result.exit_code == code
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert found.pop("exit_code") == code
    assert found["error"].startswith(told["error"])
    assert {**found, "error": ""} == {**told, "error": ""}
    assert found["error"] in result.stderr
    assert skelkit(*arguments).stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_where_standard_output_is_full_the_line_is_said_all_the_same(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "skelkit", "show", "gone.h5", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Error: gone.h5: no such file\n"


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_help_does_not_wait_for_heavy_modules() -> None:
    heavy = {"torch", "numba", "h5py", "numpy", "scipy"}
    assert python(f"import sys, skelkit.cli; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_skelkit_never_imports_torch() -> None:
    code = """
import importlib, pkgutil, sys, skelkit
names = [m.name for m in pkgutil.walk_packages(skelkit.__path__, "skelkit.") if "__main__" not in m.name]
for name in names:
    importlib.import_module(name)
print(len(names) > 12, "torch" in sys.modules, any(name.startswith("skelkit_train") for name in sys.modules))
"""
    assert python(code) == "True False False"


def test_as_a_module_and_into_a_closed_pipe(store: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m skelkit show {store} | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "skelkit", "show", str(store)], capture_output=True, timeout=60
    )
    assert done.returncode == 0


def test_quiet_and_verbose_are_the_same_everywhere() -> None:
    for path in commands():
        text = skelkit(*path, "--help").stdout
        assert "-q, --quiet" in text, path
        assert "-v, --verbose" in text, path
    result = skelkit("verify", "x.h5", "-q", "-v")
    assert result.exit_code == 2
    assert "--quiet and --verbose: give one of them" in result.stderr


def test_quiet_is_results_only_and_verbose_more(raw: Path, tmp_path: Path) -> None:
    for number in range(41, 48):
        (raw / f"S001C001P001R001A0{number}.skeleton").write_bytes(b"1\nx\n")
    out = tmp_path / "s.h5"
    sure = ["convert", raw, "--dataset", "ntu60", "--workers", 1, "--overwrite", "-o", out]
    quiet = skelkit(*sure, "--quiet")
    assert quiet.stderr == ""
    assert quiet.stdout.startswith(f"{out}: 40 sequences")
    assert " note " not in quiet.stdout
    assert "quarantined  7, the first" in quiet.stdout

    verbose = skelkit(*sure, "--verbose")
    for said in (f"source {raw}", "recipe isc: drop_zero_bodies, first_slots(bodies=4)", "workers 1"):
        assert said in verbose.stderr
    assert re.search(r"converting into .*s\.h5: \d+\.\d s\n", verbose.stderr)
    assert len(re.findall(r"^  quarantined ", verbose.stdout, re.MULTILINE)) == 7

    assert skelkit("verify", out, "-q").stderr == ""
    assert re.search(r"checking .*s\.h5: \d+\.\d s\nin all: ", skelkit("verify", out, "-v").stderr)
    assert skelkit("synth", tmp_path / "raw2", "--classes", 1, "--subjects", 1, "-q").stderr == ""
    assert only_json(skelkit("diff", out, out, "-v", "--json"))["same"] is True


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("skelkit con", {"convert"}),
        ("skelkit convert --reci", {"--recipe"}),
        ("skelkit convert --recipe c", {"ctrgcn"}),
        ("skelkit show s.h5 --sample S001C001P001R001A00", {"S001C001P001R001A001", "S001C001P001R001A004"}),
        ("skelkit augment preview s.h5 --sample S001C001P001R001A001", {"S001C001P001R001A001"}),
        ("skelkit export s.h5 --protocol xs", {"xsub"}),
        ("skelkit show absent.h5 --sample S", set()),
        ("skelkit show --sample S", set()),
    ],
)
def test_completion(words: str, offered: set[str], store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the script does that click gives to bash."""
    monkeypatch.chdir(store.parent)
    asked = {
        "_SKELKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    result = CliRunner().invoke(cli.main, [], prog_name="skelkit", env=asked)
    found = {line.removeprefix("plain,") for line in result.stdout.split()}
    assert (offered <= found) if offered else not found
    assert all(name.startswith(words.split()[-1]) for name in found)
    assert result.stderr == ""


def test_no_colours_into_a_pipe(store: Path, tmp_path: Path) -> None:
    name = "S001C001P001R001A001"
    preview = ["augment", "preview", store, "--sample", name, "--augment", "shear", "-o", tmp_path / "p.html"]
    for words in (["doctor"], ["verify", store, "-v"], ["diff", store, store], preview):
        command = [sys.executable, "-m", "skelkit", *map(str, words)]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path)
        assert b"\x1b" not in done.stdout + done.stderr, words
