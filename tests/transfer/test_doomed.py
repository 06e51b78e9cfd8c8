"""From when on a build's age counts, and how much may go at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from indexer.errors import GuardError
from indexer.registry.content import Descriptor, Digest, ImageManifest
from indexer.transfer.doomed import Left, Limits, Look, Plan, Removal, Since, Survey, since

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
IMAGE = "org.opencontainers.image.created"
SEEN = NOW - 5 * DAY


def peers(time: datetime) -> str:
    return time.strftime("%Y.%m.%d.%H%M%S")


def manifest(*times: str | None, **annotations: str) -> ImageManifest:
    """Archives, each with this creationTime."""
    layers = [
        Descriptor(
            "application/vnd.conda.package.v2",
            Digest.of(str(number).encode()),
            1,
            {} if time is None else {"creationTime": time},
        )
        for number, time in enumerate(times)
    ]
    # Not an archive: nobody asks when it was made.
    layers.append(Descriptor("text/plain", Digest.of(b""), 1, {"creationTime": peers(NOW)}))
    return ImageManifest(tuple(layers), annotations)


def found(*manifests: ImageManifest, seen: datetime | None = SEEN) -> Since | None:
    return since(manifests, None if seen is None else int(seen.timestamp()), NOW)


def test_age_counts_from_the_newest_archive() -> None:
    old, new = NOW - 3 * DAY, NOW - 2 * DAY
    assert found(manifest(peers(old), peers(new))) == Since(new, "uploaded")
    assert found(manifest(peers(new)), manifest(peers(old))) == Since(new, "uploaded")
    assert found(manifest(peers(NOW))) == Since(NOW, "uploaded")


def test_without_it_from_the_manifest_s_own_time() -> None:
    time = {IMAGE: "2026-10-30T13:00:00+01:00"}
    meant = Since(datetime(2026, 10, 30, 12, 0, tzinfo=UTC), "uploaded")
    assert found(manifest(None, **time)) == meant
    # What says nothing of itself may have joined the other just now.
    assert found(manifest(peers(NOW - 9 * DAY), None, **time)) == meant
    newer = NOW - DAY
    assert found(manifest(peers(newer), None, **time)) == Since(newer, "uploaded")


def test_what_it_says_of_itself_comes_first() -> None:
    upload = manifest(peers(NOW - 9 * DAY))
    for seen in (None, SEEN, NOW + DAY, NOW - 10 * DAY):
        assert found(upload, seen=seen) == Since(NOW - 9 * DAY, "uploaded")


def test_without_any_from_when_the_indexer_first_saw_it() -> None:
    assert found(manifest(None)) == Since(SEEN, "first seen")
    assert found(manifest(None), seen=None) is None
    assert found(manifest(peers(NOW - DAY), None)) == Since(NOW - DAY, "first seen")
    assert found(manifest(peers(NOW - DAY), None), seen=None) is None


@pytest.mark.parametrize(
    "time",
    [
        peers(NOW + timedelta(seconds=1)),
        peers(NOW + 900_000 * DAY),
        "",
        "yesterday",
        "2026-10-01T00:00:00Z",
        "2026.10.1.120000",
        "2026.10.01.12000",
        "2026.13.01.120000",
        "2026.02.30.120000",
        "1970.01.01.000000",
        "0001.01.01.000000",
        "٢٠٢٦.10.01.120000",
        " 2026.10.01.120000",
    ],
)
def test_the_future_and_what_is_no_time_count_as_none(time: str) -> None:
    assert found(manifest(time)) == Since(SEEN, "first seen")
    assert found(manifest(time, peers(NOW - 9 * DAY))) == Since(SEEN, "first seen")
    assert found(manifest(time), seen=None) is None


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-01T12:00:01Z",
        "2026-11-01T12:30:00+00:00",
        "2026-11-01",
        "2026-10-01T12:00:00",
        "2026-10-01 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-10-01T12:00:00+99:99",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "x",
    ],
)
def test_so_do_they_of_a_manifest(time: str) -> None:
    assert found(manifest(None, **{IMAGE: time})) == Since(SEEN, "first seen")
    assert found(manifest(None, **{IMAGE: time}), seen=NOW + DAY) is None


@pytest.mark.parametrize(
    ("left", "limit"),
    [
        ((), None),
        (("unmarked",), DAY),
        (("rejected",), 7 * DAY),
        (("unmarked", "rejected"), 7 * DAY),
    ],
)
def test_of_several_reasons_the_last_decides(
    left: tuple[Left, ...], limit: timedelta | None
) -> None:
    assert Limits(DAY, 7 * DAY).of(left) == limit
    if left:
        assert Limits(None, None).of(left) is None
    assert Limits(DAY, None).of(("unmarked", "rejected")) is None


def plan(going: int, looked_at: int) -> Plan:
    survey = Survey("noarch", "alpha", "acme/forge/noarch/alpha", ())
    digest = Digest.of(b"")
    look = Look("1.0-0", digest, frozenset({digest}), left=frozenset({"unmarked"}))
    return Plan((Removal(survey, digest, (look,), builds=1),) * going, (), looked_at)


@pytest.mark.parametrize(
    ("going", "looked_at", "share", "text"),
    [
        (31, 100, 0.30, r"31 of 100 builds would go, 31\.0%, more than 30\.0%"),
        (1, 1, 0.30, r"1 of 1 builds would go, 100\.0%, more than 30\.0%"),
        (1, 1, 0.0, r"1 of 1 builds would go, 100\.0%, more than 0\.0%"),
        (2, 3, 0.6666, "2 of 3"),
    ],
)
def test_too_much_is_refused_with_the_arithmetic(
    going: int, looked_at: int, share: float, text: str
) -> None:
    with pytest.raises(GuardError, match=text):
        plan(going, looked_at).raise_if_unsafe(share)


@pytest.mark.parametrize(
    ("going", "looked_at", "share"),
    [(30, 100, 0.30), (29, 100, 0.29), (0, 0, 0.30), (0, 5, 0.0), (5, 5, 1.0)],
)
def test_just_as_much_as_is_allowed_is_not(going: int, looked_at: int, share: float) -> None:
    plan(going, looked_at).raise_if_unsafe(share)
