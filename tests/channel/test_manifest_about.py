"""What a package is about, on the manifest of a build that others write, too."""

from __future__ import annotations

import json
from dataclasses import replace

from demo.layers import VALIDATED, package_manifest
from demo.packages import Package, build
from indexer.channel.manifest import with_archives
from tests.channel.test_manifest import KEY, archive, raw

URL, SUMMARY = "org.opencontainers.image.url", "org.opencontainers.image.description"
CONDA = build("alpha")
TARBZ2 = build("alpha", archive="tar.bz2")


def pushed(package: Package, previous: bytes | None = None, **about: str) -> bytes:
    """The manifest after a package was pushed that says this of itself."""
    said = {f"org.opencontainers.image.{key}": text for key, text in about.items()}
    earlier = None if previous is None else raw(previous)
    return with_archives(earlier, [replace(archive(package), annotations=said)], KEY)


def annotations_in(body: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(body)["annotations"]
    return found


def test_what_the_last_archive_says_is_said_of_the_build() -> None:
    one = replace(archive(TARBZ2), annotations={URL: "https://one.org", SUMMARY: "one"})
    last = replace(archive(CONDA), annotations={URL: "https://last.org"})
    body = with_archives(None, [one, last], KEY)
    assert annotations_in(body) == {URL: "https://last.org"}


def test_what_an_archive_does_not_say_stays_as_it_was() -> None:
    before = pushed(CONDA, url="https://one.org", description="one", vendor="other")
    body = pushed(TARBZ2, before, description="two")
    assert annotations_in(body) == {
        URL: "https://one.org",
        SUMMARY: "two",
        "org.opencontainers.image.vendor": "other",
    }


def test_the_same_push_again_changes_no_byte() -> None:
    peers = package_manifest([CONDA], annotations={SUMMARY: "old", "note": "keep"}).manifest
    first = pushed(CONDA, peers, url="https://one.org", description="one")
    assert pushed(CONDA, first, url="https://one.org", description="one") == first
    assert pushed(CONDA, first) == first


def test_other_words_take_no_validation_away() -> None:
    validated = package_manifest([CONDA], annotations=VALIDATED).manifest
    # The peer makes another info archive, which nobody judges.
    assert annotations_in(pushed(CONDA, validated, description="new")) == VALIDATED | {
        SUMMARY: "new"
    }
