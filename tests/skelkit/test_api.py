"""What `import skelkit` gives. The examples in the docstrings run as doctests of their modules, those of
docs/python.md with the other pages."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import skelkit

ROOT = Path(__file__).parents[2]
HEAVY = {"PIL", "click", "h5py", "numba", "numpy", "scipy", "torch", "tqdm"}
EXAMPLES = sorted(
    name
    for name in skelkit.__all__
    if inspect.isclass(getattr(skelkit, name)) or inspect.isfunction(getattr(skelkit, name))
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_skelkit_imports_nothing_heavy() -> None:
    code = f"import sys, skelkit; dir(skelkit); print(sorted({HEAVY} & set(sys.modules)))"
    assert python(code) == "[]"


def test_errors_and_layouts_load_without_numba_and_h5py() -> None:
    code = "import sys, skelkit; skelkit.StoreError, skelkit.load_layout, skelkit.SkeletonSequence"
    assert python(f"{code}; print(sorted({{'h5py', 'numba', 'scipy'}} & set(sys.modules)))") == "[]"


def test_all_names_come_with_a_star() -> None:
    found: dict[str, object] = {}
    exec("from skelkit import *", found)
    assert set(found) - {"__builtins__"} == set(skelkit.__all__)


def test_every_name_is_there_from_the_start() -> None:
    code = "import skelkit; print(skelkit.augment.ISC is skelkit.augment.AUGMENTATIONS['isc'])"
    assert python(code) == "True"
    assert set(skelkit.__all__) <= set(dir(skelkit))
    assert {"__version__", "__doc__"} <= set(dir(skelkit))


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'skelkit' has no attribute 'covnert'"):
        _ = skelkit.covnert
    with pytest.raises(ImportError, match="covnert"):
        exec("from skelkit import covnert")


def test_type_checkers_are_told_what_loads() -> None:
    tree = ast.parse(Path(skelkit.__file__).read_text(encoding="utf-8"))
    (branch,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and any(isinstance(each, ast.ImportFrom) for each in node.body)
    )
    told: dict[str, object] = {}
    exec(compile(ast.Module(branch.body, []), "told", "exec"), told)
    assert {name: told.get(name) for name in skelkit.__all__} == {
        name: getattr(skelkit, name) for name in skelkit.__all__
    }


def test_no_function_shares_its_name_with_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(skelkit.__path__)}
    shared = modules & set(skelkit.__all__)
    assert shared == {"augment"}
    assert isinstance(skelkit.augment, ModuleType)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_function_and_class_has_an_example(name: str) -> None:
    documented = getattr(skelkit, name)
    found = doctest.DocTestFinder(recurse=False).find(documented, name, globs={})
    sources = [example.source for test in found for example in test.examples]
    assert any(f"skelkit.{name}" in source for source in sources)


def test_the_page_has_every_name_with_an_example() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]
    named = {match[1]: text for text in sections if (match := re.match(r"`(\w+)`\n", text))}
    assert set(named) == set(skelkit.__all__)
    for name, text in named.items():
        (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert f"skelkit.{name}" in example


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: skelkit.convert("raw.zip", "a.h5", dataset="ntu61"),
            "ntu61: no such dataset; expected ntu60,",
        ),
        (lambda: skelkit.convert("raw.zip", "a.h5", dataset="ntu60", recipe="isk"), "isk: no such recipe"),
        (lambda: skelkit.read_file("a.skeleton", dataset="kinetics"), "kinetics: no such dataset"),
        (
            lambda: skelkit.export_store("a.h5", "a.npz", format="numpy"),
            "numpy: no such format; expected npz,",
        ),
    ],
)
def test_a_name_that_does_not_exist_is_one_clear_line(call: Any, message: str) -> None:
    with pytest.raises(skelkit.SkelkitError, match=message):
        call()
