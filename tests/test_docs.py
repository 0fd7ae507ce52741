"""The documentation says what the software does.

Every command of skelkit in the pages, and every block of Python, is run on tiny made-up files that bear the
names which the pages give to a user's own; trainings are cut short.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import get_args, get_type_hints

import click
import h5py
import naive
import numpy as np
import pytest
from click.testing import CliRunner

import skelkit.cli
import skelkit_train.cli
from skelkit.augment import AUGMENTATIONS, CentreCrop, Compose, Transform, frames, joints, noise
from skelkit.clips import DEFAULT_RULES, ClipRules
from skelkit.datasets import DATASETS, Protocol, parse_protocol
from skelkit.normalise import RECIPES
from skelkit.skeleton import load_layout
from skelkit.store import Store
from skelkit.synthetic import synthesise
from skelkit.views import DrawKey, identity

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs" / "commands.md"
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) if page != GENERATED]
LINKING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md"]
PROGRAMS = {"skelkit": skelkit.cli.main, "skelkit-train": skelkit_train.cli.main}
NEEDS_MORE = ("--scheduler", "doctor", "import-checkpoint")
"""Words of commands that want a cluster, much free disk or somebody's file: but their options are checked."""
SHORT = shlex.split(
    "--preset small --batch-size 4 --set gru_hidden=8 --set gru_layers=1 --set agcn_widths=[4] "
    "--set hcn_channels=4 --set queue=16"
)


@dataclass(frozen=True)
class Block:
    """Lines of a page that stand in a fence, or are indented."""

    language: str
    text: str
    line: int
    before: str
    """The page up to it."""


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    n = 0
    while n < len(lines):
        begin = n
        if fence := re.match(r"```(\w*)", lines[n]):
            n += 1
            while lines[n] != "```":
                n += 1
            language, body = fence[1], lines[begin + 1 : n]
        elif lines[n].startswith("    "):
            while n + 1 < len(lines) and lines[n + 1].startswith("    "):
                n += 1
            language, body = "sh", [line[4:] for line in lines[begin : n + 1]]
        else:
            n += 1
            continue
        n += 1
        yield Block(language, "\n".join(body) + "\n", begin + 1, "\n".join(lines[:begin]))


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command of skelkit; a job array's are those of all its jobs."""
    for line in text.replace("\\\n", " ").replace("$SLURM_ARRAY_TASK_ID", "3").splitlines():
        if not line.startswith(tuple(f"{program} " for program in PROGRAMS)):
            continue
        words = shlex.split(line, comments=True)
        if "--shard" not in words:
            yield words
            continue
        index, of = words[words.index("--shard") + 1].split("/")
        for job in range(1, int(of) + 1):
            yield [
                word.replace(f"{index}/{of}", f"{job}/{of}").replace(f"part{index}", f"part{job}")
                for word in words
            ]


def subcommand(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = PROGRAMS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    return command, rest


def run(words: list[str], folder: Path) -> None:
    """One command, cut short, with the folder as working directory; what it is to write is removed before."""
    command, rest = subcommand(words)
    if any(word in words for word in NEEDS_MORE):
        command.make_context(words[0], rest)
        return
    expanded = [
        name
        for word in words[1:]
        for name in (sorted(p.name for p in folder.glob(word)) if "*" in word else [word])
    ]
    if "-o" in expanded and not {"--resume", "--overwrite"}.intersection(expanded):
        out = folder / expanded[expanded.index("-o") + 1]
        if out.is_dir():
            shutil.rmtree(out)
        out.unlink(missing_ok=True)
    if command.name == "pretrain" and "--resume" not in expanded:
        expanded += SHORT
    if any(option.name == "epochs" for option in command.params):
        expanded += ["--epochs", "1"]
    result = CliRunner().invoke(PROGRAMS[words[0]], expanded, catch_exceptions=False)
    assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}"


def save_zip(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{folder.name}/{path.name}")


def save_ntu(file: Path, setups: tuple[int, ...], actions: tuple[int, ...]) -> None:
    """By three cameras, subjects 1 and 2 that train and 3 that tests."""
    rng = np.random.default_rng(setups)
    with zipfile.ZipFile(file, "w") as archive:
        for s, c, p, a in product(setups, (1, 2, 3), (1, 2, 3), actions):
            poses = rng.normal(0, 1, (6, 25, 3)).round(6).tolist()
            text = naive.skeleton_text([[(2**56, pose)] for pose in poses])
            archive.writestr(f"nturgb+d_skeletons/S{s:03}C{c:03}P{p:03}R001A{a:03}.skeleton", text)


def save_npz(file: Path, joints: int, names: list[str], **columns: list[int]) -> None:
    count = len(names)
    length = np.full(count, 5)
    rows = np.random.default_rng(joints).normal(0, 1, (int(length.sum()), joints, 3)).astype(np.float32)
    np.savez(file, joints=rows, length=length, name=names, label=np.arange(count) % 2, **columns)


@pytest.fixture(scope="module")
def belongings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user of the pages has: raw files, data of their own, a store and a run."""
    folder = tmp_path_factory.mktemp("belongings")
    save_ntu(folder / "nturgbd_skeletons_s001_to_s017.zip", (1, 2), (1, 23))
    save_ntu(folder / "nturgbd_skeletons_s018_to_s032.zip", (18, 19), (61,))
    synthesise(folder / "pku", dataset="pku2", classes=2, subjects=3, repeats=1, seed=0)
    save_zip(folder / "Skeleton_v2.zip", folder / "pku" / "PKU_Skeleton_v2")
    save_zip(folder / "Label_v2.zip", folder / "pku" / "Label_PKU_v2")
    shutil.move(folder / "pku" / "Split_v2", folder / "Split_v2")
    synthesise(folder / "pku1", dataset="pku1", classes=2, subjects=4, repeats=1, seed=0)
    for part in ("PKU_Skeleton_Renew", "Train_Label_PKU_final", "Split"):
        shutil.move(folder / "pku1" / part, folder / part)
    takes = list(product((1, 2, 3), (1, 2)))
    names = [f"a{a:02}_s{s:02}_v{v:02}" for s, (v, a) in enumerate(takes)]
    save_npz(folder / "nucla.npz", 20, names, camera=[v for v, _ in takes], subject=list(range(len(takes))))
    takes = list(product((1, 2, 16, 17, 24), (1, 2)))
    names = [f"S{s:02}_healthy_task{task:02}" for s, task in takes]
    save_npz(folder / "wmft_10hz.npz", 25, names, subject=[s for s, _ in takes], condition=[0] * len(takes))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (
            "skelkit convert nturgbd_skeletons_s001_to_s017.zip --dataset ntu60 -o ntu60.h5",
            "skelkit-train pretrain ntu60.h5 --protocol xsub --representations seq+graph -o runs/isc",
        ):
            run(shlex.split(command), folder)
    return folder


def do(block: Block, page: Path, folder: Path) -> None:
    if block.language == "python":
        exec(compile("\n" * block.line + block.text, str(page), "exec"), {})
    if block.language == "toml":
        name = re.findall(r"`([\w-]+\.toml)`", block.before)
        assert name, f"{page}, line {block.line}: the text does not say what to call this file"
        (folder / name[-1]).write_text(block.text, encoding="utf-8")
    if block.language == "sh":
        for words in commands(block.text):
            run(words, folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_tells_to_do_works(
    page: Path, belongings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "user"
    shutil.copytree(belongings, folder)
    monkeypatch.chdir(folder)
    for block in blocks(page):
        do(block, page, folder)


def test_a_command_that_does_not_work_is_found(
    belongings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(belongings)
    page = tmp_path / "page.md"
    for text, expected in (
        ("    skelkit show ntu61.h5\n", AssertionError),
        ("```sh\nskelkit show ntu60.h5 --simple NAME\n```\n", AssertionError),
        ("    skelkit convert x --dataset ntu6 --scheduler tcp://host:1 -o x.h5\n", click.UsageError),
        ('```python\nopen("ntu61.h5")\n```\n', FileNotFoundError),
    ):
        page.write_text(text)
        (block,) = blocks(page)
        with pytest.raises(expected):
            do(block, page, belongings)


def test_torchrun_is_given_options_that_there_are() -> None:
    text = "\n".join(block.text for page in PAGES for block in blocks(page) if block.language == "sh")
    given = re.findall(r"^torchrun .* -m skelkit_train (.*)", text.replace("\\\n", " "), re.MULTILINE)
    assert given
    for arguments in given:
        command, rest = subcommand(["skelkit-train", *shlex.split(arguments, comments=True)])
        command.make_context("skelkit-train", rest)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_between_pages_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def texts() -> Iterator[str]:
    """Every text in the source, with … for what is put into it."""
    for folder in ("skelkit", "skelkit_train"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_the_messages_of_troubleshooting_are_still_those_of_the_source() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.*)`$", page, re.MULTILINE)
    assert len(messages) == page.count("\n### ") >= 20
    known = set(texts())
    assert [message for message in messages if not any(message in text for text in known)] == []


def test_the_recipes_have_the_steps_that_the_page_tells() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for name, recipe in RECIPES.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        told = re.findall(r"^\| (`\w+`(?:, [\d.]+)*) \|", section, re.MULTILINE)
        steps = [
            ", ".join([f"`{step['step']}`", *(str(value) for key, value in step.items() if key != "step")])
            for step in recipe.describe()["steps"]
        ]
        assert told == steps or (not told and all(step in section for step in steps)), name


def test_the_protocols_are_those_that_the_page_tells() -> None:
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^\| `xsub`, NTU RGB\+D \d+ \| (?:subjects|those and) ([\d, -]+) \|", page, re.MULTILINE
    )
    subjects: set[int] = set()
    for dataset, told in zip(("ntu60", "ntu120"), found, strict=True):
        subjects |= parse_protocol(f"xsub=subject:{told.replace(' ', '')}")[1].train
        assert Protocol("subject", frozenset(subjects)) == DATASETS[dataset].protocols["xsub"]
        assert f"| {len(DATASETS[dataset].missing)} |" in page
    for rule, kind in get_type_hints(ClipRules).items():
        choices = get_args(kind)
        assert f"| `{rule}` | {', '.join(f'`{choice}`' for choice in choices)} |" in page
        assert asdict(DEFAULT_RULES)[rule] == choices[0]


def test_the_plain_reader_reads_what_skelkit_reads(belongings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(belongings)
    page = ROOT / "docs" / "format.md"
    reader = next(block for block in blocks(page) if block.language == "python")
    assert "skelkit" not in reader.text
    found: dict[str, object] = {}
    exec(reader.text, found)
    with Store("ntu60.h5") as store:
        place = store.place("S001C001P001R001A023")
        sequence = store.sequence(place)
        assert found["trains"] == (store.protocols["xsub"][place] == 1)
    np.testing.assert_array_equal(found["joints"], sequence.joints)
    np.testing.assert_array_equal(found["present"], sequence.present)
    assert found["label"] == sequence.label == 22


def test_the_format_page_names_all_that_is_in_a_store(belongings: Path) -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    rows = {}
    for cells in re.findall(r"^\| (`.*?`) \|(.*)\|$", page, re.MULTILINE):
        rows.update(dict.fromkeys(re.findall(r"`(.*?)`", cells[0]), cells[1]))
    with h5py.File(belongings / "ntu60.h5") as file:
        datasets: dict[str, h5py.Dataset] = {}

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                datasets[name] = item

        file.visititems(visit)
        for name, dataset in datasets.items():
            told = rows[re.sub(r"^/(columns|protocols)/.*", r"/\1/...", f"/{name}")]
            assert ("bytes" if dataset.dtype.kind == "S" else str(dataset.dtype)) in told, name
        assert set(file.attrs) <= set(rows)


def shown_augmentations() -> dict[str, Transform]:
    """What docs/augmentations.md shows, at its defaults, by its heading there."""
    single = {name: each for name, each in AUGMENTATIONS.items() if not isinstance(each, Compose)}
    return {name: type(each)() for name, each in single.items()} | {"centre crop": CentreCrop()}


def test_every_augmentation_is_on_its_page_with_its_defaults() -> None:
    page = (ROOT / "docs" / "augmentations.md").read_text(encoding="utf-8")
    for name, transform in shown_augmentations().items():
        section = page.partition(f"\n### {name}\n")[2].partition("\n##")[0]
        assert section.startswith(f"\n`{transform!r}`"), name
        assert f"(pictures/augment-{name.replace(' ', '-')}.png)" in section, name
    names = {name for module in (frames, joints, noise) for name in module.__all__}
    assert names == {type(transform).__name__ for transform in shown_augmentations().values()}


def test_the_order_of_augmentations_is_that_of_the_page() -> None:
    page = (ROOT / "docs" / "augmentations.md").read_text(encoding="utf-8")
    table = page.partition("| never after |")[2].partition("\n\n")[0]
    told: dict[str, set[str]] = {}
    for left, right in re.findall(r"^\| (`.*`) \|(.*)\|$", table, re.MULTILINE):
        for name in re.findall(r"`(.*?)`", left):
            told[name] = set(re.findall(r"`(.*?)`", right))
    known = shown_augmentations()
    assert told.keys() == known.keys()
    key = DrawKey(0, 0, np.zeros(1, np.int64), np.zeros(1, np.int64))
    for first, second in product(known, known):
        before = identity(np.array([80]), load_layout("ntu25"), bodies=1)
        both = Compose((known[first], known[second]))
        with pytest.raises(ValueError, match=second) if first in told[second] else nullcontext():
            both.draw(key, before)


def test_the_command_reference_is_not_stale() -> None:
    command = [sys.executable, str(ROOT / "tools" / "command_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
