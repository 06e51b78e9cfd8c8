"""The status page: a plot of whatever was counted, and lists that say what they leave out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.render.detail import FULL
from indexer.render.history import LastChange
from indexer.render.pages import draw_status
from indexer.render.status import Artifact, Line, Listed, Plot, Status, plot_counts
from tests.render.site import INFO, Page

NOTHING = Listed(0, [])


def at(day: int, month: int = 10, **records: int) -> dict[str, Any]:
    """A point of time; ``linux_64`` stands for linux-64."""
    named = {subdir.replace("_", "-"): count for subdir, count in records.items()}
    return {"time": f"2026-{month:02}-{day:02}T00:00:00Z", "records": named}


def plot(*counts: dict[str, Any]) -> Plot:
    found = plot_counts(counts)
    assert found is not None
    return found


def places(line: Line) -> list[tuple[float, float]]:
    found = []
    for point in line.points.split():
        x, y = point.split(",")
        found.append((float(x), float(y)))
    return found


def test_where_nothing_was_counted_there_is_no_plot() -> None:
    assert plot_counts([]) is None


@pytest.mark.parametrize(
    ("most", "top"),
    [
        *((0, "2"), (1, "2"), (2, "2"), (3, "4"), (9, "10"), (10, "10"), (11, "20"), (99, "100")),
        *((100, "100"), (101, "200"), (599_999, "600,000"), (600_001, "800,000")),
    ],
)
def test_the_axis_ends_at_an_even_digit_above_all_counts(most: int, top: str) -> None:
    rows = plot(at(1, noarch=1), at(2, noarch=most)).rows
    assert rows[2].text == top
    whole = [int(row.text.replace(",", "")) for row in rows]
    assert whole == [0, whole[2] // 2, max(2, whole[2])]
    assert most <= whole[2]
    assert rows[0].at > rows[1].at > rows[2].at


def test_lines_go_from_the_first_time_to_the_last_in_steps() -> None:
    found = plot(at(1, noarch=0), at(2, noarch=10), at(3, noarch=10), at(5, noarch=5))
    (line,) = found.lines
    left, right, middle = found.left, found.right, (found.left + found.right) / 2
    zero, half, full = (row.at for row in found.rows)
    quarter = round(left + (right - left) / 4, 1)
    assert places(line) == [
        *((left, zero), (quarter, zero), (quarter, full)),
        *((middle, full), (right, full), (right, half)),
    ]
    assert (line.first, line.last) == (0, 5)
    assert (found.since, found.until) == ("2026-10-01", "2026-10-05")
    assert [(tick.at, tick.text) for tick in found.columns] == [
        (left, "2026-10-01"),
        (right, "2026-10-05"),
    ]
    assert zero == found.bottom


def test_one_point_is_a_line_as_wide_as_the_drawing() -> None:
    found = plot(at(1, noarch=5))
    (line,) = found.lines
    (left, y), (right, same) = places(line)
    assert (left, right, same) == (found.left, found.right, y)
    assert [tick.text for tick in found.columns] == ["2026-10-01"]
    assert found.since == found.until == "2026-10-01"


def test_points_of_one_time_are_drawn_too() -> None:
    found = plot(at(1, noarch=5), at(1, noarch=7), at(1, noarch=3))
    assert len(found.columns) == 1
    assert {x for x, _ in places(found.lines[0])} <= {found.left, found.right}


def test_points_out_of_order_are_put_in_order() -> None:
    one, two, three = at(1, noarch=1), at(2, noarch=2), at(3, noarch=3)
    assert plot(three, one, two) == plot(one, two, three)


def test_subdirs_that_come_and_go_are_at_zero_before_and_after() -> None:
    found = plot(at(1, noarch=4), at(2, noarch=4, linux_64=8), at(3, linux_64=8))
    lines = {line.subdir: line for line in found.lines}
    assert list(lines) == ["linux-64", "noarch"]
    assert (lines["noarch"].first, lines["noarch"].last) == (4, 0)
    assert (lines["linux-64"].first, lines["linux-64"].last) == (0, 8)
    assert places(lines["noarch"])[-1] == (found.right, found.bottom)
    assert places(lines["linux-64"])[0] == (found.left, found.bottom)


def test_each_subdir_has_a_line_of_its_own_kind_as_long_as_there_are_kinds() -> None:
    found = plot(at(1, **{f"s{number:02}_64": number for number in range(10)}))
    assert [line.style for line in found.lines] == [*range(8), 0, 1]


def test_of_many_points_the_first_and_the_last_are_kept() -> None:
    counts = [
        {"time": f"2026-10-01T{n // 60:02}:{n % 60:02}:00Z", "records": {"noarch": n % 2 + n}}
        for n in range(1201)
    ]
    (line,) = plot(*counts).lines
    assert (line.first, line.last) == (0, 1200)
    assert 100 < len({x for x, _ in places(line)}) <= 200
    for many in (199, 200, 201, 202, 400):
        (line,) = plot(*counts[:many]).lines
        last = counts[many - 1]["records"]
        assert isinstance(last, dict)
        assert (line.first, line.last) == (0, last["noarch"]), many
        assert len({x for x, _ in places(line)}) <= 200, many


GARBAGE: list[Any] = [
    *({}, {"time": None}, {"records": {}}, {"time": "2026-10-01T00:00:00Z"}),
    {"time": 5, "records": {"noarch": 1}},
    {"time": "yesterday", "records": {"noarch": 1}},
    {"time": "2026-10-01", "records": {"noarch": 1}},
    {"time": "2026-13-01T00:00:00Z", "records": {"noarch": 1}},
    {"time": "10000-01-01T00:00:00Z", "records": {"noarch": 1}},
    {"time": "2026-10-01T00:00:00Z", "records": []},
    {"time": "2026-10-01T00:00:00Z", "records": "x"},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": None}},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": "x"}},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": []}},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": math.nan}},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": math.inf}},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": "9" * 5000}},
    {"time": "2026-10-01T00:00:00Z", "records": {"noarch": -1}},
]


@pytest.mark.parametrize("item", GARBAGE, ids=lambda item: str(item)[:60])
def test_what_is_no_count_is_passed_over(item: dict[str, Any]) -> None:
    assert plot_counts([item]) is None
    sound = (at(1, noarch=1), at(2, noarch=2))
    assert plot(sound[0], item, sound[1]) == plot(*sound)


def test_a_time_without_records_is_a_time_without_records() -> None:
    found = plot(at(1), at(2))
    assert found.lines == []
    (line,) = plot(at(1), at(2, noarch=5)).lines
    assert (line.first, line.last) == (0, 5)


@pytest.mark.parametrize("count", [2**63 - 1, 2**64 - 1, 1e308])
def test_a_number_that_no_channel_has_stops_no_run(count: int) -> None:
    found = plot(at(1, noarch=1), at(2, noarch=count))
    for line in found.lines:
        assert all(0 <= y <= found.bottom for _, y in places(line))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(
    counts=st.lists(
        st.fixed_dictionaries(
            {"records": st.dictionaries(st.sampled_from(["noarch", "linux-64"]), _JSON)},
            optional={"time": _JSON | st.datetimes().map(lambda t: f"{t:%Y-%m-%dT%H:%M:%SZ}")},
        ),
        max_size=5,
    )
)
def test_whatever_was_remembered_a_plot_stays_within_its_frame(
    counts: list[dict[str, Any]],
) -> None:
    found = plot_counts(counts)
    for line in found.lines if found else ():
        for x, y in places(line):
            assert found is not None
            assert found.left <= x <= found.right
            assert 0 <= y <= found.bottom


def status(**parts: Any) -> Page:
    values = {
        "change": None,
        "counts": {"noarch": (1234, 56)},
        "left_out": NOTHING,
        "rejected": NOTHING,
        "waiting": NOTHING,
        "oldest": "",
        "plot": None,
    }
    return Page(draw_status(Status(**values | parts), INFO, FULL))


def listed(total: int, first: int) -> Listed:
    return Listed(total, [Artifact(f"place {n}", f"reason {n}") for n in range(first)])


def test_a_new_channel_has_a_status() -> None:
    text = status().text
    assert "None yet." in text
    assert text.count("Nothing.") == 2
    assert "Rejected" not in text


def test_the_last_change_is_told_with_its_time() -> None:
    page = status(change=LastChange("2026-11-01T12:07:41Z", 1234, 5, 0))
    assert "On 2026-11-01 12:07: 1,234 added, 5 removed, 0 changed." in page.text
    assert "2026-11-01T12:07:41Z" in page.attributes("time", "datetime")


def test_a_list_that_is_cut_says_how_many_there_are() -> None:
    page = status(left_out=listed(1234, 3), waiting=listed(1, 1), oldest="2026-10-01T00:00:00Z")
    assert "1,234 things are left out" in page.text
    assert "1,231 more;" in page.text
    assert page.text.count(" more;") == 1
    assert "1 artifact waits; the oldest since 2026-10-01 00:00." in page.text
    assert ["place 2", "reason 2"] in page.rows


def test_one_of_each_is_told_as_one() -> None:
    page = status(left_out=listed(1, 1), rejected=listed(2, 1))
    assert "1 thing is left out" in page.text
    assert "Rejected by the validator" in page.text
    assert "1 more;" in page.text


def test_the_plot_is_told_in_words_too() -> None:
    found = plot(at(1, noarch=5), at(31, noarch=1234, linux_64=1))
    page = status(plot=found, counts={"linux-64": (1, 1), "noarch": (1234, 56)})
    words = "From 2026-10-01 to 2026-10-31: linux-64 from 0 to 1; noarch from 5 to 1,234."
    assert words in page.text
    assert ["noarch", "5", "1,234", "56"] in [[cell.strip() for cell in row] for row in page.rows]


def test_a_subdir_that_was_not_counted_yet_is_listed() -> None:
    page = status(plot=plot(at(1, noarch=5)), counts={"linux-64": (1, 1), "noarch": (5, 2)})
    assert ["linux-64", "", "1", "1"] in [[cell.strip() for cell in row] for row in page.rows]


def test_when_the_last_run_was_is_left_to_a_script() -> None:
    page = status()
    (line,) = [found for _, found in page.elements if found.get("id") == "last-run-line"]
    assert "hidden" in line
    assert "last-run" in page.attributes("time", "id")
    assert "../assets/status.js" in [
        address.partition("?")[0] for address in page.attributes("script", "src")
    ]
