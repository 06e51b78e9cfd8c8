"""Listings of tags and repositories: complete, or an error; never something in between."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.errors import DeniedError, NotFoundError, RegistryError, UnsupportedError
from indexer.registry import remote as remote_module
from indexer.registry.exchange import Answer
from indexer.registry.links import next_page
from tests.registry.help import REPOSITORY, STEADY, remote
from tests.support import faults

if TYPE_CHECKING:
    from indexer.registry.transport import Transport
    from tests.support.fake_registry import FakeRegistry
from tests.support.loopback import FileHost

TAGS = sorted(f"1.{number}-0" for number in range(11))


@pytest.fixture
def tagged(fake: FakeRegistry) -> FakeRegistry:
    for tag in TAGS:
        fake.add_manifest(REPOSITORY, tag, b"{}", "application/json")
    return fake


def linked(value: str, *, times: int | None = None) -> faults.Fault:
    """The honest page, with this Link."""
    return faults.Fault(faults.is_tags(), times, lambda _, ready: ready.with_headers(Link=value))


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("unsorted", [False, True])
@pytest.mark.parametrize("size", [1, 3, 11, None])
def test_every_page_of_tags_is_read(
    tagged: FakeRegistry, transport: Transport, *, size: int | None, unsorted: bool, absolute: bool
) -> None:
    knobs = tagged.knobs
    knobs.page_size, knobs.unsorted, knobs.link_absolute = size, unsorted, absolute
    assert sorted(remote(tagged, transport).tags(REPOSITORY)) == TAGS
    assert tagged.count("tags") == (1 if size is None else -(-len(TAGS) // size))


def test_a_short_or_empty_page_is_no_end(tagged: FakeRegistry, transport: Transport) -> None:
    tagged.knobs.page_size = 4
    empty = json.dumps({"tags": []}).encode()
    tagged.knobs.faults = [faults.replace_body(empty, match=faults.is_tags(), times=1)]
    assert sorted(remote(tagged, transport).tags(REPOSITORY)) == TAGS[4:]


def test_pages_that_overlap_name_a_tag_once(tagged: FakeRegistry, transport: Transport) -> None:
    again = f"</v2/{REPOSITORY}/tags/list?last=1.0-0>; rel=next"
    tagged.knobs.faults = [linked(again, times=1)]
    assert sorted(remote(tagged, transport).tags(REPOSITORY)) == TAGS
    assert tagged.count("tags") == 2


def test_null_tags_are_no_tags(fake: FakeRegistry, transport: Transport) -> None:
    fake.knobs.null_tags = True
    fake.add_repository(REPOSITORY)
    assert remote(fake, transport).tags(REPOSITORY) == []


def test_a_next_page_on_another_server_is_not_followed(
    tagged: FakeRegistry, elsewhere: FileHost, transport: Transport
) -> None:
    tagged.knobs.page_size, tagged.knobs.link_to = 3, elsewhere.http
    with pytest.raises(RegistryError, match="another server: not followed") as caught:
        remote(tagged, transport).tags(REPOSITORY)
    assert "incomplete" in str(caught.value)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/x",
        "https://127.0.0.1/x",
        "http://localhost/x",
        "file:///etc/passwd",
        "http://[::1/x",
        "http://127.0.0.1:port/x",
        "//[/x",
    ],
)
def test_a_link_to_no_page_of_this_registry_makes_the_listing_incomplete(
    tagged: FakeRegistry, transport: Transport, target: str
) -> None:
    tagged.knobs.faults = [linked(f'<{target}>; rel="next"')]
    with pytest.raises(RegistryError):
        remote(tagged, transport).tags(REPOSITORY)
    assert tagged.count("tags") == 1


@pytest.mark.parametrize("target", ["", "?n=3", "/v2/a/tags/list"])
def test_pages_that_go_in_circles_are_not_trusted(
    tagged: FakeRegistry, transport: Transport, target: str
) -> None:
    target = target.replace("/a/", f"/{REPOSITORY}/")
    tagged.knobs.faults = [linked(f'<{target}>; rel="next"')]
    with pytest.raises(RegistryError, match="don't end"):
        remote(tagged, transport).tags(REPOSITORY)
    assert tagged.count("tags") <= 2


def test_pages_without_end_are_not_trusted(
    tagged: FakeRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "_MAX_PAGES", 20)
    endless = faults.Fault(
        faults.is_tags(),
        None,
        lambda _, ready: ready.with_headers(Link=f'<?last={tagged.count("tags")}>; rel="next"'),
    )
    tagged.knobs.faults = [endless]
    with pytest.raises(RegistryError, match="don't end"):
        remote(tagged, transport).tags(REPOSITORY)
    assert endless.fired == 20


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 500, 503])
def test_a_page_lost_half_way_is_no_end(
    tagged: FakeRegistry, transport: Transport, status: int
) -> None:
    tagged.knobs.page_size = 3
    tagged.knobs.faults = [faults.status(status, match=faults.is_page_after(faults.is_tags()))]
    with pytest.raises(RegistryError) as caught:
        remote(tagged, transport).tags(REPOSITORY)
    # Whoever passes over absent repositories must not pass over this one.
    assert not isinstance(caught.value, NotFoundError | DeniedError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"tags": ["1.0',
        b"[]",
        b"null",
        b'"tags"',
        b"{}",
        b'{"repositories": []}',
        b'{"tags": {}}',
        b'{"tags": "1-0"}',
        b'{"tags": ["1-0", null]}',
        b'{"tags": [["1-0"]]}',
        b'{"tags": ["\xff"]}',
        b'{"errors": [{"code": "UNKNOWN"}]}',
    ],
)
def test_a_page_that_is_no_list_is_an_error_and_not_an_empty_list(
    tagged: FakeRegistry, transport: Transport, body: bytes
) -> None:
    tagged.knobs.faults = [faults.replace_body(body, match=faults.is_tags())]
    with pytest.raises(RegistryError, match=f"{tagged.address}/v2/{REPOSITORY}"):
        remote(tagged, transport).tags(REPOSITORY)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ('</b>; rel="next"', "https://h/b"),
        ("</b>;rel=next", "https://h/b"),
        ('<b?n=1&last=x,y>; rel="next"', "https://h/v2/b?n=1&last=x,y"),
        ('<b?n=1;last=x>; rel="next"', "https://h/v2/b?n=1;last=x"),
        ('<https://h:443/b>; title="x"; rel="next"', "https://h:443/b"),
        ('</a>; rel="prev", </b>; rel="next"', "https://h/b"),
        ('</b>; rel="next", </a>; rel="prev"', "https://h/b"),
        ('</a>; rel="prev"', None),
        ('</a>; rel="first"', None),
        ("", None),
    ],
)
def test_the_next_page_is_found_in_every_spelling(link: str, target: str | None) -> None:
    assert next_page(Answer(200, {"Link": link}, b"", ""), "https://h/v2/x") == target


@pytest.mark.parametrize(
    "link",
    ["next", "</b>; rel=n ext; next", "</b>; title=next"],
)
def test_a_link_that_can_not_be_read_is_no_end(link: str) -> None:
    with pytest.raises(RegistryError, match="can't be read"):
        next_page(Answer(200, {"Link": link}, b"", ""), "https://h/v2/x")


_TARGETS = st.lists(st.sampled_from(["https:", "//", "h", "evil", "[", "]", ":", "1", "@", "?x"]))


@STEADY
@given(st.text() | _TARGETS.map(lambda parts: f'<{"".join(parts)}>; rel="next"'))
@example('<//[>; rel="next"')
@example("<http://h:port/>; rel=next")
def test_no_link_leads_off_the_registry_or_brings_the_run_down(link: str) -> None:
    try:
        target = next_page(Answer(200, {"Link": link}, b"", ""), "https://h/v2/x")
    except RegistryError:
        return
    assert target is None or urlsplit(target).hostname == "h"


def test_every_page_of_the_catalog_is_read(fake: FakeRegistry, transport: Transport) -> None:
    names = {f"acme/forge/noarch/p{number}" for number in range(7)}
    for name in names:
        fake.add_repository(name)
    fake.knobs.page_size = 2
    assert set(remote(fake, transport).repositories()) == names
    assert fake.count("catalog") == 4
    # The most that distribution's registry takes.
    assert fake.requests[0].query["n"] == "1000"


def test_an_empty_catalog_is_an_empty_list(fake: FakeRegistry, transport: Transport) -> None:
    assert list(remote(fake, transport).repositories()) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_a_registry_without_a_catalog_is_told_from_a_broken_one(
    fake: FakeRegistry, transport: Transport, status: int
) -> None:
    fake.knobs.faults = [faults.status(status, match=faults.is_catalog())]
    with pytest.raises(UnsupportedError, match="lists no repositories"):
        list(remote(fake, transport).repositories())
    assert fake.count("catalog") == 1


BROKEN_CATALOGS = {
    "unavailable": faults.status(503, match=faults.is_catalog()),
    "no JSON": faults.replace_body(b"<html>", match=faults.is_catalog()),
    "no list": faults.replace_body(b"{}", match=faults.is_catalog()),
    "truncated": faults.truncated(match=faults.is_catalog()),
}


@pytest.mark.parametrize("fault", BROKEN_CATALOGS.values(), ids=BROKEN_CATALOGS)
def test_a_broken_catalog_is_not_taken_for_none(
    fake: FakeRegistry, transport: Transport, fault: faults.Fault
) -> None:
    fake.add_repository(REPOSITORY)
    fake.knobs.faults = [fault]
    with pytest.raises(RegistryError) as caught:
        list(remote(fake, transport).repositories())
    assert not isinstance(caught.value, UnsupportedError)


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_a_catalog_lost_half_way_is_not_taken_for_none(
    fake: FakeRegistry, transport: Transport, status: int
) -> None:
    for number in range(7):
        fake.add_repository(f"acme/forge/noarch/p{number}")
    fake.knobs.page_size = 2
    lost = faults.status(status, match=faults.is_page_after(faults.is_catalog()))
    fake.knobs.faults = [lost]
    with pytest.raises(RegistryError) as caught:
        list(remote(fake, transport).repositories())
    assert lost.fired
    # This error alone makes a run take its names from the previous index.
    assert not isinstance(caught.value, UnsupportedError)
