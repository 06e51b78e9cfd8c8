"""What is told is bounded, however much differs, and nothing that a channel says acts in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer.diff import ChannelDiff, Spool, SubdirDiff
from indexer.diff.document import as_json
from indexer.diff.fields import spelt
from indexer.diff.telling import MAX_MARKDOWN, MAX_TEXT, as_markdown, as_text
from tests.diff.help import FORMS, GAMMA, SHARDED, compared, publish, run

Records = dict[str, dict[str, Any]]


@pytest.fixture
def spool() -> Iterator[Spool]:
    with Spool() as made:
        yield made


def diff_of(spool: Spool, old: Records, new: Records, subdirs: int = 1) -> ChannelDiff:
    """The same differences in each of some subdirs."""
    parts = []
    before, after = (
        {name: spelt(name, fields, frozenset()) for name, fields in records.items()}
        for records in (old, new)
    )
    for number in range(subdirs):
        part = SubdirDiff(f"linux-{number}", SHARDED, SHARDED, spool)
        part.compare_few(before, after)
        part.finish()
        parts.append(part)
    return ChannelDiff("old/", "new/", parts)


def test_text_says_what_changed_in_few_words(spool: Spool) -> None:
    old = {
        "a-1-0.conda": {"depends": ["x", "y >=1"], "size": 1, "license": "MIT"},
        "gone-1-0.conda": {},
    }
    new = {"a-1-0.conda": {"depends": ["x", "y >=2"], "size": 2}, "came-1-0.conda": {}}
    assert as_text(diff_of(spool, old, new)).splitlines() == [
        "old: old/",
        "new: new/",
        f"linux-0: 1 added, 1 removed, 1 changed ({SHARDED})",
        "linux-0:",
        "  removed gone-1-0.conda",
        "  changed a-1-0.conda",
        '    depends: - "y >=1", + "y >=2"',
        '    license: "MIT" -> none',
        "    size: 1 -> 2",
        "  added came-1-0.conda",
        "Different: 1 added, 1 removed, 1 changed.",
    ]


def test_markdown_says_the_same_in_a_table_and_lists(spool: Spool) -> None:
    old = {"a-1-0.conda": {"size": 1}}
    assert as_markdown(diff_of(spool, old, {"a-1-0.conda": {"size": 2}, "b": {}})).splitlines() == [
        "From `old/` to `new/`:",
        "",
        "| Subdir | Added | Removed | Changed | Compared |",
        "|---|--:|--:|--:|---|",
        f"| linux-0 | 1 | 0 | 1 | {SHARDED} |",
        "",
        "**linux-0**",
        "",
        "- changed `a-1-0.conda`",
        "  - `size`: `1` -> `2`",
        "- added `b`",
        "",
        "Different: 1 added, 0 removed, 1 changed.",
    ]


def test_a_list_in_another_order_is_told_whole(spool: Spool) -> None:
    diff = diff_of(spool, {"a": {"depends": ["x", "y"]}}, {"a": {"depends": ["y", "x"]}})
    assert '    depends: ["x","y"] -> ["y","x"]' in as_text(diff).splitlines()


def test_what_is_the_same_takes_a_line(spool: Spool) -> None:
    diff = diff_of(spool, {"a": {}}, {"a": {}})
    assert as_text(diff).splitlines()[2:] == [f"linux-0: the same ({SHARDED})", "The same."]
    assert "**linux-0**" not in as_markdown(diff)


def long_records(letter: str, count: int) -> Records:
    """Records with much to tell, in many bytes a character."""
    fields = {f"field{number}é" * 20: f"{letter}é`" * 400 for number in range(30)}
    fields |= {"depends": [f"{letter}{number}" * 50 for number in range(300)]}  # type: ignore[dict-item]
    return {f"{'é`' * 300}{number}": dict(fields) for number in range(count)}


@pytest.mark.parametrize("subdirs", [1, 30, 200])
def test_text_and_markdown_are_bounded_and_say_so(spool: Spool, subdirs: int) -> None:
    count = 120 if subdirs == 1 else 2
    old, new = long_records("a", count), long_records("b", count)
    old |= {f"gone{number}-{'é' * 200}": {} for number in range(2000)}
    new |= {f"came{number}-{'é' * 200}": {} for number in range(2000)}
    diff = diff_of(spool, old, new, subdirs)
    for told, limit in ((as_text(diff), MAX_TEXT), (as_markdown(diff), MAX_MARKDOWN)):
        assert limit / 2 < len(told.encode()) <= limit
        assert f"linux-{subdirs - 1}" in told
        last = told.splitlines()[-1]
        assert "--format json has all of it" in last
        assert f"{2000 * subdirs:,} added" in last
        assert "2,000" in told


def test_many_of_a_kind_are_counted(spool: Spool) -> None:
    old = {f"a{number:04}": {"x": 1} for number in range(1000)}
    new = {name: {"x": 2} for name in old} | {f"b{number:04}": {} for number in range(1234)}
    for told in (as_text(diff_of(spool, old, new)), as_markdown(diff_of(spool, old, new))):
        assert "... and 950 more changed" in told
        assert "... and 1,184 more added" in told
        assert "Cut here" not in told


def test_json_has_all_of_it(spool: Spool) -> None:
    old, new = long_records("a", 120), long_records("b", 120)
    diff = diff_of(spool, old, new)
    part = json.loads("".join(as_json(diff)))["subdirs"]["linux-0"]
    assert part["counts"] == {"added": 0, "removed": 0, "changed": 120}
    for name, fields in part["changed"].items():
        assert {key: change["old"] for key, change in fields.items()} == old[name]
        assert {key: change["new"] for key, change in fields.items()} == new[name]


EVIL = [
    "\n::error::owned",
    "\r::error::owned",
    "##[error]owned",
    "\x1b[31mred\x1b]8;;http://x\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2028x",
    "<script>alert(1)</script><img src=x onerror=y>",
    "[click](http://evil.example/) ![x](http://evil.example/) @someone #1",
    "`` `code` ``` ```` ",
    "`",
    " ",
    "| a | b |",
    "*b* _i_ ~s~ &amp; \\",
    "$(id) `id` ${{ secrets.X }}",
]


def everything(evil: str, root: Path) -> tuple[Path, Path]:
    """Two channels that differ in every place that a stranger's text can get to."""
    fields = GAMMA.fields()
    old = {f"gone{evil}.conda": fields, "same.conda": fields | {"license": evil}}
    old["items.conda"] = fields | {"depends": [evil]}
    new = {f"came{evil}.conda": fields, "same.conda": fields | {f"key{evil}": evil}}
    new["items.conda"] = fields | {"depends": [f"{evil}{evil}"]}
    return (
        publish(root / "old", old, base_url=evil),
        publish(root / "new", new, base_url=f"x{evil}"),
    )


def outside_code(line: str) -> str:
    """A line of Markdown without its code spans, as CommonMark finds them."""
    text, kept = line, ""
    while found := re.search("`+", text):
        kept += text[: found.start()]
        text = text[found.end() :]
        closing = re.search(f"(?<!`){found[0]}(?!`)", text)
        assert closing is not None, line
        text = text[closing.end() :]
    return kept + text


SKELETON = re.compile(
    r"(?:From  to :|  - : (?:none|- |)(?:, \+ | -> )?(?:none)?|- (?:added|removed|changed) |"
    r"- info: :  -> |\*\*noarch\*\*|\| [A-Za-z0-9_. |;]+ \||\|[-:|]+|Different: [0-9a-z, ]+\.|)"
)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_nothing_that_a_channel_says_acts(evil: str, tmp_path: Path) -> None:
    pair = everything(evil, tmp_path)
    for format_ in ("text", "markdown", "json"):
        result = run(*pair, "--format", format_)
        assert result.exit_code == 1
        assert "##[" not in result.stdout
        lines = result.stdout.split("\n")
        assert not [line for line in lines if line.lstrip().startswith("::")]
        assert not [line for line in lines if not line.isprintable()]
        if format_ == "json":
            assert json.loads(result.stdout)["subdirs"]["noarch"]["info"]["base_url"] == {
                "old": evil,
                "new": f"x{evil}",
            }
        if format_ == "markdown":
            assert not [line for line in lines if not SKELETON.fullmatch(outside_code(line))]


@pytest.mark.parametrize("form", FORMS)
def test_json_of_a_real_run_names_forms_and_counts(tmp_path: Path, form: str) -> None:
    one = publish(tmp_path / "old", [GAMMA], form)
    document = compared(one, one)
    assert document == {
        "format": 1,
        "old": str(one),
        "new": str(one),
        "same": True,
        "subdirs": {
            "noarch": {
                "same": True,
                "compared": {"old": form, "new": form},
                "counts": {"added": 0, "removed": 0, "changed": 0},
                "info": {},
                "added": [],
                "removed": [],
                "changed": {},
            }
        },
    }
