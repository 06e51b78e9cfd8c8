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
    "progress": set(),
    "markdown": set(),
    "files": {"errors"},
    "registry": {"errors", "files"},
    "channel": {"errors", "registry.address", "registry.content"},
    # Keys and verdicts, and what they say of what a manifest offers.
    "trust": {"errors", "channel", "registry"},
    "settings": {"errors", "channel", "registry.address", "trust.keys"},
    "config": {"errors", "settings", "channel", "registry.address", "trust.keys"},
    "render": {"errors", "channel"},
    "published": {"errors", "channel", "registry", "render", "trust"},
    "check": {"errors", "files", "parallel", "progress", "channel", "render", "published"},
    # The published site, as a monitor sees it.
    "watching": {"errors", "registry", "render", "published", "check.findings"},
    "diff": {
        "errors", "markdown", "parallel", "progress", "channel", "registry.urls", "render",
        "published",
    },
    # The HTTP service; it needs libraries that others don't, so nobody but ``serve`` knows it.
    "gateway": {
        "errors", "files", "parallel", "progress", "channel", "registry", "render", "published",
    },
    # One tag, asked for and understood: for the main job and for those who copy.
    "fetching": {"errors", "channel", "registry", "trust"},
    "cli": {
        "errors", "markdown", "progress", "settings", "config", "channel", "registry",
        "published", "check", "trust", "diff", "gateway", "new_channel", "watching",
        "rebuild.joining", "rebuild.pipeline", "rebuild.report", "rebuild.rollback", "rebuild.run",
        "rebuild.splitting", "rebuild.tally", "transfer",
    },
    # A repository for a channel, made by ``init``.
    "new_channel": {"errors", "files"},
    "__main__": {"cli"},
    # For other programs: the same as the command line, without it.
    "api": {"errors", "progress", "settings", "channel", "registry", "transfer"},
    "transfer": {
        "errors", "files", "parallel", "progress", "config", "channel", "registry", "render",
        "published", "fetching", "trust",
    },
    # The stages of the main job. What each may know of the rooms outside, and of its neighbours.
    "rebuild.__init__": set(),
    "rebuild.decoding": set(),
    "rebuild.compact": {"channel", "rebuild.decoding"},
    "rebuild.verdicts": {
        "channel", "registry.content", "trust", "rebuild.decoding", "rebuild.compact",
    },
    "rebuild.standings": {"channel", "rebuild.decoding"},
    "rebuild.state": {
        "channel", "registry.content", "rebuild.decoding", "rebuild.compact", "rebuild.standings",
        "rebuild.verdicts",
    },
    "rebuild.state_file": {"errors", "files", "rebuild.state"},
    "rebuild.spool": {"channel"},
    "rebuild.previous": {
        "errors", "files", "channel", "render", "published", "trust", "rebuild.spool",
        "rebuild.publish",
    },
    "rebuild.beginning": {
        "errors", "files", "parallel", "config", "registry", "render", "published",
        "rebuild.previous", "rebuild.publish",
    },
    "rebuild.generations": {
        "errors", "files", "published", "render", "rebuild.previous", "rebuild.publish",
    },
    "rebuild.tally": {"errors", "channel"},
    "rebuild.trusting": {"errors", "channel", "registry", "trust", "rebuild.verdicts"},
    "rebuild.reading": {
        "errors", "parallel", "channel", "registry", "trust", "fetching", "rebuild.state",
        "rebuild.changes", "rebuild.selection", "rebuild.tally", "rebuild.trusting",
    },
    "rebuild.selection": {"registry"},
    "rebuild.changes": {"registry", "rebuild.state"},
    "rebuild.naming": {"errors", "channel", "registry", "config", "rebuild.previous"},
    "rebuild.planning": {
        "errors", "progress", "channel", "render", "rebuild.look", "rebuild.state",
        "rebuild.spool", "rebuild.previous", "rebuild.trusting",
    },
    "rebuild.publish": {"errors", "files", "render"},
    "rebuild.report": {"channel", "rebuild.tally"},
    "rebuild.status_file": {"render", "rebuild.report"},
    "rebuild.run": {"errors", "progress", "config", "registry", "render", "rebuild.report"},
    "rebuild.part": {
        "errors", "files", "channel", "render", "trust", "rebuild.previous", "rebuild.report",
        "rebuild.share",
    },
    "rebuild.look": {"config", "registry.address", "render"},
    "rebuild.share": {
        "progress", "channel", "render", "rebuild.look", "rebuild.planning", "rebuild.previous",
        "rebuild.publish", "rebuild.report",
    },
    "rebuild.writing": {
        "render", "rebuild.look", "rebuild.previous", "rebuild.publish", "rebuild.share",
        "rebuild.generations",
    },
    "rebuild.room": {"render"},
    "rebuild.kept": {"files", "rebuild.publish"},
    "rebuild.neighbours": {"render", "rebuild.previous"},
    "rebuild.status_page": {
        "files", "render", "rebuild.look", "rebuild.previous", "rebuild.report", "rebuild.tally",
    },
    "rebuild.pages": {
        "errors", "files", "progress", "render", "rebuild.kept", "rebuild.look",
        "rebuild.previous", "rebuild.publish", "rebuild.report", "rebuild.room", "rebuild.writing",
        "rebuild.neighbours", "rebuild.status_page",
    },
    "rebuild.site": {
        "errors", "progress", "config", "render", "published", "check", "rebuild.kept",
        "rebuild.look", "rebuild.previous", "rebuild.publish", "rebuild.report", "rebuild.share",
        "rebuild.writing", "rebuild.pages", "rebuild.status_file",
    },
    "rebuild.finishing": {
        "files", "progress", "config", "rebuild.beginning", "rebuild.look", "rebuild.previous",
        "rebuild.publish", "rebuild.rejections", "rebuild.report", "rebuild.room",
        "rebuild.share", "rebuild.site", "rebuild.status_file", "rebuild.status_page",
        "rebuild.unsettled",
    },
    "rebuild.rejections": {
        "errors", "files", "config", "published", "trust", "rebuild.previous",
    },
    "rebuild.unsettled": {"files", "render", "rebuild.previous"},
    "rebuild.telling": {
        "channel", "registry", "render", "rebuild.standings", "rebuild.state", "rebuild.tally",
        "rebuild.planning", "rebuild.report",
    },
    "rebuild.fitting": {
        "errors", "files", "render", "trust", "rebuild.look", "rebuild.part", "rebuild.previous",
        "rebuild.share",
    },
    "rebuild.joining": {
        "errors", "config", "channel", "registry", "render", "rebuild.beginning",
        "rebuild.finishing", "rebuild.fitting", "rebuild.look", "rebuild.part",
        "rebuild.planning", "rebuild.previous", "rebuild.publish", "rebuild.rejections",
        "rebuild.report",
        "rebuild.run", "rebuild.share", "rebuild.site", "rebuild.state_file",
    },
    "rebuild.rollback": {
        "errors", "config", "channel", "registry", "published", "render", "trust", "rebuild",
    },
    "rebuild.returning": {
        "errors", "progress", "channel", "render", "trust", "rebuild.planning", "rebuild.previous",
        "rebuild.spool",
    },
    "rebuild.splitting": {
        "config", "registry", "rebuild.beginning", "rebuild.naming", "rebuild.run",
    },
    "rebuild.pipeline": {
        "errors", "files", "parallel", "progress", "config", "channel", "registry", "render",
        "published", "check", "trust", "rebuild",
    },
}  # fmt: skip

# Libraries that only one room knows.
ONLY_IN: dict[str, set[str]] = {
    "requests": {"registry"},
    "urllib3": {"registry"},
    "aiohttp": {"gateway"},
    "prometheus_client": {"gateway"},
    "starlette": {"gateway"},
    "uvicorn": {"gateway"},
    "oras": {"registry"},
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"render"},
    "msgpack": {"render"},
    "backports": {"render"},
    "compression": {"render"},
    "ijson": {"published"},
    "conda_package_streaming": {"transfer"},
    "sqlite3": {
        "rebuild.decoding",
        "rebuild.verdicts",
        "rebuild.standings",
        "rebuild.state",
        "rebuild.state_file",
        "rebuild.spool",
        "rebuild.pipeline",
    },
    "rattler": {"channel", "render"},
    "tomllib": {"config"},
    "securesystemslib": {"trust"},
    "cryptography": {"trust"},
    "packageurl": {"trust"},
}

# What would make a pure module impure.
IMPURE = {"os", "socket", "subprocess", "tempfile", "time", "random", "threading", "sqlite3"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first, *rest = path.relative_to(PACKAGE).with_suffix("").parts
    return f"{first}.{rest[0]}" if first == "rebuild" else first


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
    if first in {"", "__version__"} or not (
        (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").exists()
    ):
        return True
    return any(
        inside == known or inside.startswith(f"{known}.") for known in {room, *ALLOWED[room]}
    )


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
def test_pure_rooms_ask_no_network_and_no_clock(room: str) -> None:
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
