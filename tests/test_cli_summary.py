"""A run's account as Markdown: nothing in it acts, and it fits."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from indexer.channel.plan import Count
from indexer.cli.explaining import REMEDIES
from indexer.cli.summary import MAX_BYTES, code_span, summary_of, summary_of_failure
from indexer.rebuild.report import Report, SubdirReport
from indexer.rebuild.tally import LeftOut

ENEMIES = [
    "<img src=x onerror=alert(1)>",
    "</code><script>alert(1)</script>",
    "[click](https://evil.invalid)",
    "![](https://evil.invalid/pixel.png)",
    "https://evil.invalid www.evil.invalid mail@evil.invalid @octocat #1",
    "`` ` ``` **bold** _it_ ~~gone~~",
    "`",
    "`left` and `right`",
    "\\",
    "ends in a backslash \\",
    "|a|b|\n|---|---|\n|c|d|",
    "line\r\n# Heading\n- item\n\n<details>",
    "&lt;b&gt; &#96; &amp;",
    "\u202egnp.exe \u2028 \x1b[31m \ud800",
    " ",
    "",
    "$math$ :rocket: <!-- comment",
]


def report(**changes: object) -> Report:
    made = Report("2026-11-01T12:00:00Z", "0", "oci://ghcr.io/acme", "forge", "annotation", "site")
    made.outcome = "published"
    made.seconds = 75.2
    made.subdirs = {
        "linux-64": SubdirReport(
            repositories=1200, tags=4000, read=3, looked_again=4, waiting=5, rejected=6
        ),
        "noarch": SubdirReport(
            repositories=1, count=Count(before=10, added=2, removed=1, changed=3)
        ),
    }
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def rendered(markdown: str) -> str:
    return str(MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(markdown))


def rows(markdown: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]


def test_the_first_line_is_the_outcome_and_the_table_adds_up() -> None:
    left_out = [LeftOut("noarch", "a", "1-0", "", "bad")]
    text = summary_of("rebuild", report(left_out=left_out))
    assert text.splitlines()[0] == "## cf-index rebuild: published"
    head, _, linux, noarch, total = rows(text)
    assert linux == ["linux-64", "1,200", "4,000", "7", "5", "6", "0", "0", "0", "0", "0"]
    assert noarch == ["noarch", "1", "0", "0", "0", "0", "1", "2", "1", "3", "11"]
    assert total == ["all", "1,201", "4,000", "7", "5", "6", "1", "2", "1", "3", "11"]
    assert len(head) == len(total)
    assert "in 75.2 s" in text


def test_what_came_and_went_is_named_up_to_twenty_and_counted_beyond() -> None:
    changes = [
        {"kind": "added", "subdir": "noarch", "file_name": f"new-{n}-0.conda"} for n in range(30)
    ]
    changes.append({"kind": "removed", "subdir": "noarch", "file_name": "old-1-0.conda"})
    made = report(changes=changes)
    made.subdirs["noarch"].count = Count(before=1, added=30, removed=1)
    lines = summary_of("rebuild", made).splitlines()
    assert "### Changes: 31" in lines
    listed = [line for line in lines if line.startswith(("- new: ", "- gone: "))]
    # What goes is the first that somebody has to know of.
    assert listed[0] == "- gone: `noarch/old-1-0.conda`"
    assert len(listed) == 20
    assert "- and 11 more" in lines


@pytest.mark.parametrize("enemy", ENEMIES)
def test_what_a_registry_says_is_text_and_nothing_else(enemy: str) -> None:
    made = report(
        left_out=[LeftOut("noarch", enemy, enemy, enemy, enemy)],
        rejected=[LeftOut("noarch", "a", "1", "", enemy)],
        notes=[enemy],
        passed_over=[enemy],
        limited=[enemy],
        names_from=enemy or "a",
        changes=[{"kind": "added", "subdir": "noarch", "file_name": enemy}],
        run="12-1",
    )
    calm = report(
        left_out=[LeftOut("noarch", "a", "a", "a", "a")],
        rejected=[LeftOut("noarch", "a", "1", "", "a")],
        notes=["a"],
        passed_over=["a"],
        limited=["a"],
        names_from="a",
        changes=[{"kind": "added", "subdir": "noarch", "file_name": "a"}],
        run="12-1",
    )
    for text, peaceful in (
        (summary_of("rebuild", made), summary_of("rebuild", calm)),
        (
            summary_of_failure("rebuild", 3, enemy, made),
            summary_of_failure("rebuild", 3, "a", calm),
        ),
    ):
        tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
        expected = MarkdownIt("gfm-like", {"linkify": False}).parse(peaceful)
        # The same blocks, and in them the same kinds of text: only what stands in it differs.
        assert [token.type for token in tokens] == [token.type for token in expected]
        assert [
            [child.type for child in token.children or () if child.type != "text" or child.content]
            for token in tokens
        ] == [
            [child.type for child in token.children or () if child.type != "text" or child.content]
            for token in expected
        ]
        text.encode()


@pytest.mark.parametrize("enemy", [text for text in ENEMIES if text.strip() and text.isprintable()])
def test_a_code_span_shows_what_it_was_given(enemy: str) -> None:
    spans = [
        (child.type, child.content)
        for token in MarkdownIt().parse(f"- {code_span(enemy)}")
        for child in token.children or ()
    ]
    assert spans == [("code_inline", enemy.strip())]


def test_the_worst_run_of_all_fits() -> None:
    long = "\U0001f600" * 5000
    items = [LeftOut("noarch", long, long, long, long) for _ in range(1000)]
    made = report(left_out=items, rejected=items, notes=[long] * 1000, passed_over=[long] * 1000)
    made.subdirs = {f"linux-{n}": SubdirReport() for n in range(5000)}
    for text in (summary_of("rebuild", made), summary_of_failure("rebuild", 3, long, made)):
        assert len(text.encode()) <= MAX_BYTES
        assert text.rstrip().endswith("the report has it all.")
        # Cut between lines, so that nothing stays open.
        assert rendered(text).count("<code>") == rendered(text).count("</code>")


@pytest.mark.parametrize("code", [1, 2, 3, 4, 130, 143])
def test_a_failure_says_what_happened_and_what_to_do(code: int) -> None:
    text = summary_of_failure("join", code, "The registry is away.")
    assert text.splitlines()[0] == f"## cf-index join: failed (exit {code})"
    assert "`The registry is away.`" in text
    assert REMEDIES[code] in text


def test_a_failure_with_a_code_that_nobody_knows_is_told_all_the_same() -> None:
    assert "failed (exit 77)" in summary_of_failure("join", 77, "odd")


def test_a_subdir_that_is_none_cannot_break_the_table() -> None:
    made = report()
    made.subdirs = {"a|b\n|": SubdirReport()}
    assert [row[0] for row in rows(summary_of("rebuild", made))] == ["Subdir", "---", "?"]
