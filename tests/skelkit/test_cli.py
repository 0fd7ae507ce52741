"""cli: every command as a user meets it: help, exit codes, one line for an error, one object for --json."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from interrupts import interrupted

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


def skelkit(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def fails(result: Result, said: str) -> None:
    """Exit code 1 and one line on standard error."""
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = [
        line
        for line in re.split(r"[\n\r]", result.stderr)
        if line and "file/s" not in line and "?file" not in line
    ]
    assert line.startswith("Error: ")
    assert re.search(said, line)


def only_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    joints = np.random.default_rng(0).normal(0, 1, (70, 20, 3)).astype(np.float32)
    np.savez(path, joints=joints, length=[30, 40], name=["a", "b"], label=[0, 1], camera=[1, 2])
    return path


@pytest.fixture
def store(raw: Path, tmp_path: Path) -> Path:
    only_json(
        skelkit("convert", raw, "--dataset", "ntu60", "--workers", 1, "-o", tmp_path / "s.h5", "--json")
    )
    return tmp_path / "s.h5"


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


def test_convert_for_people(raw: Path, tmp_path: Path) -> None:
    (raw / "S001C001P001R001A061.skeleton").write_bytes(b"0\n")
    for number in range(41, 48):
        (raw / f"S001C001P001R001A0{number}.skeleton").write_bytes(b"1\nx\n")
    (raw / "notes.txt").write_text("")
    result = skelkit("convert", raw, "--dataset", "ntu60", "--workers", 1, "-o", tmp_path / "s.h5")
    assert result.exit_code == 0
    assert re.search(r"s\.h5: 40 sequences of 48 files in \d+\.\d s\n", result.stdout)
    why = "action 61 is not in NTU RGB+D 60, which has 1 to 60; NTU RGB+D 120 has it"
    assert f"excluded     1: {why} (S001C001P001R001A061)" in result.stdout
    assert "A041.skeleton, line 2: found 'x'" in result.stdout
    assert "quarantined  7, the first of them:" in result.stdout
    assert "ignored      1 other files" in result.stdout
    assert str(tmp_path / "s.report.json") in result.stdout
    assert "converting ntu60" in result.stderr


def test_convert_json(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    sure = ["convert", raw, "--dataset", "ntu120", "--recipe", "raw", "--workers", 1]
    facts = only_json(skelkit(*sure, "-o", out, "--json"))
    assert facts.pop("out") == str(out)
    assert facts == json.loads((tmp_path / "s.report.json").read_text())


def test_a_file_name_that_is_no_text(raw: Path, tmp_path: Path) -> None:
    """A name in another encoding, and one with a line break, stop nothing."""
    try:
        raw.joinpath("caf\udce9.skeleton").write_bytes(b"0\n")
        raw.joinpath("two\nlines.skeleton").write_bytes(b"0\n")
    except OSError:
        pytest.skip("the file system refuses such a name")
    command = [sys.executable, "-m", "skelkit", "convert", str(raw), "--dataset", "ntu60", "--workers", "1"]
    done = subprocess.run([*command, "-o", str(tmp_path / "s.h5")], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"quarantined" in done.stdout


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


def test_convert_errors(raw: Path, tmp_path: Path, store: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    (raw / "S001C001P001R001A000.skeleton").write_bytes(b"0\n")
    sure = ["--dataset", "ntu60", "--workers", 1, "-o"]
    fails(skelkit("convert", tmp_path / "absent", *sure, tmp_path / "a.h5"), "no such file or folder")
    fails(
        skelkit("convert", tmp_path / "bad.zip", *sure, tmp_path / "a.h5"),
        r"bad\.zip: not a readable zip archive",
    )
    fails(skelkit("convert", raw, *sure, tmp_path / "absent" / "a.h5"), "the folder .*absent does not exist")
    fails(skelkit("convert", raw, *sure, store), "exists already")
    fails(skelkit("convert", raw, *sure, tmp_path / "a.h5", "--on-bad", "stop"), "A000.skeleton: the name is")
    assert not (tmp_path / "a.h5").exists()


def test_show(store: Path) -> None:
    assert "40 sequences of ntu60" in skelkit("show", store).stdout
    assert only_json(skelkit("show", store, "--json"))["sequences"] == 40
    name = "S001C001P001R001A001"
    assert f"{name}: drink water (label 0)" in skelkit("show", store, "--sample", name).stdout
    assert only_json(skelkit("show", store, "--sample", name, "--json"))["class"] == "drink water"
    fails(skelkit("show", store, "--sample", "S001C001P001R001A0"), "no sequence .* did you mean S001")
    fails(skelkit("show", store.with_name("absent.h5")), "no such file")


def test_misspelt_choices_are_suggested() -> None:
    for words, hint in (
        ("convert x --dataset ntu6 -o x.h5", "ntu60"),
        ("convert x --dataset ntu60 --recipe iscc -o x.h5", "isc"),
        ("augment preview x.h5 --sample a -o y.png --augment sheer", "shear"),
    ):
        result = skelkit(*words.split())
        assert result.exit_code == 2
        assert f"; did you mean {hint}? (see " in result.stderr


def test_verify_tells_of_joints_beyond_reach(npz: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(npz))
    arrays["joints"][60] *= 1000
    np.savez(npz, **arrays)
    out = tmp_path / "far.h5"
    words = ["import", npz, "--from", "npz", "--skeleton", "kinect20", "-o", out]
    assert "b: a joint is" in skelkit(*words).stdout
    note = f"{out}: in 1 of 2 sequences a joint is more than 20 m away, expected metres; the first is b"
    first, second = skelkit("verify", out).stdout.splitlines()
    assert (first, second) == (f"{out}: intact, every byte is as it was written", f"  note  {note}")
    assert only_json(skelkit("verify", out, "--json"))["note"] == note
    assert note not in skelkit("verify", out, "-q").stdout


def test_verify(store: Path) -> None:
    assert skelkit("verify", store).stdout == f"{store}: intact, every byte is as it was written\n"
    facts = only_json(skelkit("verify", store, "--json"))
    assert facts == {"file": str(store), "intact": True, "problems": [], "note": None}
    data = bytearray(store.read_bytes())
    data[len(data) // 2] ^= 1
    store.write_bytes(data)
    assert skelkit("verify", store).exit_code == 1
    result = skelkit("verify", store, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["intact"] is False


def test_import(npz: Path, tmp_path: Path) -> None:
    sure = ["import", npz, "--from", "npz", "--skeleton"]
    rule = ["--protocol", "xview=camera:2", "-o", tmp_path / "a.h5"]
    assert "a.h5: 2 sequences" in skelkit(*sure, "kinect20", *rule).stdout
    facts = only_json(skelkit(*sure, "kinect20", *rule, "--overwrite", "--json"))
    shown = only_json(skelkit("show", tmp_path / "a.h5", "--json"))
    assert shown["protocols"] == {"xview": {"train": 1, "test": 1}}
    assert shown["content_hash"] == facts["content_hash"]
    fails(skelkit(*sure, "kinect20", *rule), "exists already")
    fails(skelkit(*sure, "ntu25", *rule, "--overwrite"), r"joints are \(70, 1, 20, 3\), expected")
    result = skelkit(*sure, "kinect21", *rule, "--overwrite")
    assert result.exit_code == 2
    assert "--skeleton: kinect21: no such joint layout" in result.stderr
    result = skelkit(*sure, "kinect20", "--protocol", "xview", "-o", tmp_path / "b.h5")
    assert result.exit_code == 2
    assert "--protocol: 'xview', expected NAME=COLUMN:VALUES" in result.stderr
    fails(skelkit(*sure, "kinect20", "--protocol", "x=day:1", "-o", tmp_path / "b.h5"), "no column 'day'")


def test_preview(store: Path, tmp_path: Path) -> None:
    name = "S001C001P001R001A001"
    out = tmp_path / "p.html"
    sure = ["augment", "preview", store, "--sample"]
    facts = only_json(skelkit(*sure, name, "--augment", "shear", "--seed", 3, "-o", out, "--json"))
    assert facts["seed"] == 3
    assert out.stat().st_size > 1000
    assert "shear" in skelkit(*sure, name, "--augment", "shear", "-o", out).stdout
    fails(skelkit(*sure, "nobody", "-o", out), "no sequence 'nobody'")


def test_synth_then_convert(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    facts = only_json(skelkit("synth", folder, "--classes", 2, "--subjects", 2, "--repeats", 1, "--json"))
    assert facts == {"directory": str(folder), "files": 12}
    out = tmp_path / "a.h5"
    report = only_json(skelkit("convert", folder, "--dataset", "ntu60", "-o", out, "--workers", 1, "--json"))
    assert (report["found"], report["kept"]) == (12, 12)
    result = skelkit("synth", folder)
    assert result.exit_code == 1
    assert "exists and is not an empty directory" in result.stderr


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


def test_interrupted_by_the_keyboard(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skelkit import conversion

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "convert_block", interrupt)
    command = ["convert", raw, "--dataset", "ntu60", "-o", tmp_path / "a.h5", "--workers", 1]
    result = skelkit(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(r"interrupted, 0 of \d+ files done; the same command goes on where it was", last)
    told = json.loads(skelkit(*command, "--fresh", "--json").stdout)
    assert told == {"error": last, "exit_code": 1, "stopped": True}
    monkeypatch.undo()
    fails(skelkit(*command, "--recipe", "raw"), "an interrupted conversion with other recipe; --fresh")
    assert skelkit(*command, "--recipe", "raw", "--fresh").exit_code == 0


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


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("skelkit.conversion:convert_block", "convert raw --dataset ntu60 --workers 1 -o a.h5"),
        ("skelkit.inputs:list_files", "convert raw --dataset ntu60 --workers 1 -o a.h5"),
        ("skelkit.merging:write_store", "merge s.h5 -o a.h5"),
        ("skelkit.store.verify:content_digest", "verify s.h5"),
        ("skelkit.store.verify:content_digest", "diff s.h5 s.h5"),
        ("skelkit.interchange.npz:write_rows", "export s.h5 --to npz -o a.npz"),
        ("skelkit.preview:set_stage", "augment preview s.h5 --sample S001C001P001R001A001 -o a.html"),
    ],
)
def test_ctrl_c_is_one_line(where: str, words: str, store: Path) -> None:
    done = interrupted("skelkit", words.split(), where, store.parent)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert re.search(r"^interrupted(, 0 of \d+ files done; .*)?$", done.stderr, re.MULTILINE)
    assert "Error" not in done.stderr, "it was asked for"
    assert "Traceback" not in done.stderr
    left = {path.name for path in store.parent.glob("a.*")}
    assert left <= {"a.h5.part"}  # what a conversion goes on with
