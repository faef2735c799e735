"""Files and functions that fit into a head. Named by what is over the budget, so that a failure says where to cut."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.places import PACKAGES, ROOT, sources

FILE_LINES = 500
FUNCTION_LINES = 60


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_has_more_than_500_lines() -> None:
    lengths = {file: len(file.read_text("utf-8").splitlines()) for file in sources(*PACKAGES, "tests", "benchmarks")}

    assert {str(file.relative_to(ROOT)): lines for file, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_has_more_than_60_lines() -> None:
    found = [(file, name, lines) for file in sources(*PACKAGES, "benchmarks") for name, lines in functions(file)]

    assert [
        f"{file.relative_to(ROOT)}: {name} ({lines})" for file, name, lines in found if lines > FUNCTION_LINES
    ] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [file for file in sources(*PACKAGES) if not ast.get_docstring(ast.parse(file.read_text("utf-8")))]

    assert [str(file.relative_to(ROOT)) for file in silent] == []
