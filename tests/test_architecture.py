"""The shape of the program, read from its import statements and its lines."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import core

ROOT = Path(__file__).parent.parent

# From the ground up; a file imports from its own row and from those above it in this list only.
ROWS = (
    ("core/values", "core/version"),
    ("core/store", "core/config", "core/data_folder", "core/logs", "core/net"),
    ("core/wallets", "core/agents"),
    ("core/books",),
    ("core/loops",),
    ("core/gate",),
    ("core/desk",),
    ("core/app", "core/checkup"),
    ("api", "bots"),
    ("boltwork",),
)

HOMES = {
    "aiosqlite": {"core/store/sqlite.py", "core/store/sqlite_file.py"},
    "asyncpg": {"core/store/postgres.py"},
    "pymacaroons": {"core/values/tokens.py"},
    "openai": {"core/agents/openai_sdk.py"},
    "telegram": {"bots/telegram.py"},
    "pynostr": {"bots/pynostr_keys.py"},
}

MAY_CATCH_ALL = {"core/loops/supervisor.py", "core/loops/worker.py", "api/edge.py"}
LINES_MAX = 400


def product_files() -> list[Path]:
    folders = [ROOT / name for name in ("core", "api", "bots")]
    inside = (file for folder in folders for file in folder.rglob("*.py"))
    return [*ROOT.glob("boltwork*.py"), *inside]


@cache
def nodes_of(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text())))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imports_of(file: Path) -> Iterator[str]:
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def row_of(path: str) -> int | None:
    for row, prefixes in enumerate(ROWS):
        if any(path.startswith(prefix) for prefix in prefixes):
            return row
    return None


each_file = pytest.mark.parametrize("file", product_files(), ids=name_of)


@each_file
def test_a_file_imports_only_what_lies_below_it(file: Path) -> None:
    own_row = row_of(name_of(file))

    above = {
        module
        for module in imports_of(file)
        if own_row is not None and (row_of(module.replace(".", "/")) or 0) > own_row
    }

    assert above == set()


@each_file
def test_every_file_has_its_row(file: Path) -> None:
    assert row_of(name_of(file)) is not None or name_of(file) == "core/__init__.py"


def test_the_doors_do_not_know_each_other() -> None:
    for file in product_files():
        others = {"api": "bots", "bots": "api"}.get(name_of(file).split("/")[0])

        assert not [module for module in imports_of(file) if module.split(".")[0] == others]


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_imported_in_one_place(library: str) -> None:
    users = {
        name_of(file)
        for file in product_files()
        if any(module.split(".")[0] == library for module in imports_of(file))
    }

    assert users <= HOMES[library]


@each_file
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LINES_MAX


@each_file
def test_only_three_places_catch_whatever_comes(file: Path) -> None:
    broad = [
        handler.lineno
        for handler in nodes_of(file)
        if isinstance(handler, ast.ExceptHandler)
        and (
            handler.type is None
            or (isinstance(handler.type, ast.Name) and handler.type.id == "Exception")
            or (
                isinstance(handler.type, ast.Name)
                and handler.type.id == "BaseException"
                and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
            )
        )
    ]

    assert broad == [] or name_of(file) in MAY_CATCH_ALL


@each_file
def test_a_table_is_named_by_one_file_of_the_books(file: Path) -> None:
    """SQL stands in the books and in the store, nowhere else."""
    name = name_of(file)
    allowed = ("core/books/", "core/store/", "core/wallets/stub", "boltwork.py")

    has_sql = any(
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.lstrip().startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE "))
        for node in nodes_of(file)
    )

    assert not has_sql or name.startswith(allowed)


def test_the_general_names_are_ours() -> None:
    assert Path(core.__file__).parent == ROOT / "core"
