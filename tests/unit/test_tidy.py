"""The project's own style, where a program can check it. Each test lists what offends it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from authority.hotstate.scripts import Script, Verb
from workers.limits.scripts import LimitScript

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "src/authority/v1"
PEERS = ROOT / "bench/.peers"  # others' code
SCRIPTS = ROOT / "src/authority/hotstate/scripts"
FILE_LINES_MAX = 400
LUA_LINES_MAX = 150
FUNCTION_LINES_MAX = 70
# What was left for later, and paths of a machine that somebody worked on.
LEFT_OVER = re.compile(r"\b(?:TODO|FIXME|XXX)\b|(?<![\w.}/])/(?:work|root|home|tmp|Users)/")


def found(pattern: str, *folders: str) -> list[Path]:
    """Return the files of these folders that were written by hand."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob(pattern))]
    assert paths, (pattern, folders)
    return [path for path in paths if not {GENERATED, PEERS} & {*path.parents}]


MODULES = found("*.py", "src", "tests", "tools", "bench")
LUA = found("*.lua", "src")
# This file has to name what must not be there.
TEXTS = [path for path in MODULES + LUA if path != Path(__file__)] + [
    *found("*.sql", "src"),
    *found("*.toml", "src"),
    *found("*.proto", "proto"),
    *found("*.md", "docs"),
    *(ROOT / name for name in ("Makefile", "README.md", "docker-compose.yml", "pyproject.toml")),
]


def sources(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file."""
    for path in paths:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield the public names that say nothing of themselves. RPC methods are the proto's."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        is_rpc = prefix and node.name[0].isupper()
        if node.name.startswith("_") or is_rpc:
            continue
        if not ast.get_docstring(node):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{node.name}.")


def test_nothing_is_left_over():
    assert [
        (name, line)
        for name, text in sources(TEXTS)
        for line in text.splitlines()
        if LEFT_OVER.search(line)
    ] == []


def test_files_are_short():
    sizes = {name: len(text.splitlines()) for name, text in sources(MODULES + LUA)}
    most = {name: LUA_LINES_MAX if name.endswith(".lua") else FILE_LINES_MAX for name in sizes}
    assert {name: size for name, size in sizes.items() if size > most[name]} == {}


def test_functions_are_short():
    assert [
        (name, node.name)
        for name, text in sources(MODULES)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ] == []


def test_what_is_public_is_documented():
    trees = [
        (name, ast.parse(text))
        for name, text in sources(MODULES)
        if name.startswith(("src/", "bench/"))
    ]
    assert [(name, item) for name, tree in trees for item in undocumented(tree.body)] == []
    assert [
        name
        for name, tree in trees
        if not name.endswith("__init__.py") and not ast.get_docstring(tree)
    ] == []


def test_a_lua_file_opens_with_its_contract():
    assert [
        name
        for name, text in sources(LUA)
        if not text.startswith(f"-- {Path(name).stem.removeprefix('_')}(")
    ] == []
    known = {*Script, *Verb, *LimitScript, "enqueue", "claim"}
    assert {path.stem for path in LUA if not path.stem.startswith("_")} == known


def test_lua_builds_no_key_and_writes_no_bare_number():
    for name, text in sources(LUA):
        code = re.sub(r"--[^\n]*", "", text)
        # A key that is not in KEYS may lie in another slot.
        assert "pm:" not in code, name
        assert re.findall(r"redis\.call\((?!'[A-Z]+')", code) == [], name
        # tostring(1e14) is '1e+14'; fmt() writes every digit.
        assert "tostring(" not in code, name
