"""Which module may know which: the way of the data runs one way (DESIGN, "The way of the data")."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import indexer

PACKAGE = Path(indexer.__file__).parent

# Each room and the earlier rooms whose names it may use. Nothing knows a later stage.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "parallel": set(),
    "registry": {"errors"},
    "channel": {"errors", "registry.content"},
    "config": {"errors", "channel", "registry.address"},
    "state": {"errors", "channel", "registry.content"},
    "spool": {"channel"},
    "render": {"errors", "channel"},
    "published": {"errors", "registry"},
    "check": {"errors", "parallel", "channel", "render", "published"},
    "previous": {"errors", "parallel", "channel", "spool", "render", "published", "check"},
    "fetching": {"errors", "channel", "registry"},
    "reading": {"errors", "channel", "registry", "state", "fetching"},
    "naming": {"errors", "channel", "registry", "config", "previous"},
    "planning": {"errors", "channel", "render", "state", "spool", "previous"},
    "publish": {"errors", "render", "state"},
    "report": {"channel", "reading"},
    "site": {"channel", "render", "planning", "previous", "publish"},
    "telling": {"channel", "render", "state", "reading", "planning", "report"},
    "pipeline": {
        "errors", "parallel", "channel", "registry", "config", "state", "spool", "render",
        "published", "check", "previous", "reading", "naming", "planning", "publish", "report",
        "site", "telling",
    },
    "cli": {"errors", "config", "pipeline", "report", "check", "published", "registry"},
    "__main__": {"cli"},
}  # fmt: skip

# Libraries that only one room knows.
ONLY_IN: dict[str, set[str]] = {
    "requests": {"registry"},
    "urllib3": {"registry"},
    "oras": {"registry"},
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"render"},
    "msgpack": {"render"},
    "backports": {"render"},
    "compression": {"render"},
    "ijson": {"check"},
    "sqlite3": {"state", "spool", "pipeline"},
    "rattler": {"channel", "render"},
    "tomllib": {"config"},
}

# What would make a pure module impure.
IMPURE = {"os", "socket", "subprocess", "tempfile", "time", "random", "threading", "sqlite3"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(target: str, room: str) -> bool:
    inside = target.removeprefix("indexer").lstrip(".")
    first = inside.partition(".")[0]
    if first in {"", room, "__version__"} or not (
        (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").exists()
    ):
        return True
    return any(inside == room_ or inside.startswith(f"{room_}.") for room_ in ALLOWED[room])


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_knows_a_later_stage(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert list(imports(path)) == []
        return
    assert room in ALLOWED, f"{room} is a new room: say here what it may know"
    # ``from a import b`` names the module a too; what counts is the longest name.
    targets = {name for name in imports(path) if name.startswith("indexer")}
    longest = {t for t in targets if not any(o.startswith(f"{t}.") for o in targets)}
    assert [target for target in sorted(longest) if not is_allowed(target, room)] == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_its_own_room_alone(library: str) -> None:
    knowing = {
        room_of(path)
        for path in modules()
        if any(name.partition(".")[0] == library for name in imports(path))
    }
    assert knowing
    assert knowing <= ONLY_IN[library]


@pytest.mark.parametrize("room", ["channel", "render"])
def test_pure_rooms_open_nothing_and_ask_no_clock(room: str) -> None:
    for path in (PACKAGE / room).glob("*.py"):
        used = {name.partition(".")[0] for name in imports(path)} & IMPURE
        assert used == set(), f"{path.name} uses {used}"
        assert "datetime.now" not in path.read_text()


def test_files_fit_on_a_few_screens() -> None:
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in modules()
        if (count := path.read_text().count("\n")) > 400
    }
    assert long == {}
