"""What one package, or one damaged file, must not be able to do to the whole channel."""

from __future__ import annotations

import pytest

from demo.packages import build
from indexer.render import history
from tests.support.rig import Rig

# Each is let in; together they make a shard of more than 16 MiB, which conda won't read. Floats
# are four characters of JSON, and nine bytes of msgpack.
LARGE: dict[str, tuple[int, object]] = {
    "text": (17, "x" * (1024 * 1024 - 2_000)),
    "floats": (19, [0.5] * 100_000),
}


@pytest.mark.parametrize("kind", LARGE)
def test_one_package_whose_shard_no_client_reads_does_not_stop_the_channel(
    rig: Rig, kind: str
) -> None:
    count, value = LARGE[kind]
    for number in range(count):
        rig.push(build("large", build=str(number), extra_index={"unknown": value}))
    rig.push(build("alpha"))

    report = rig.rebuild()

    assert "alpha-1.0-0.conda" in rig.records()
    assert any(item.repository == "large" for item in report.left_out)
    rig.assert_sound()


@pytest.mark.parametrize("path", [history.CHANGES, history.COUNTS])
@pytest.mark.parametrize("damage", [b"", b"damaged", b"null", b"[{}]", b'["x"]'])
def test_damage_to_what_is_only_told_to_people_does_not_stop_the_channel(
    rig: Rig, path: str, damage: bytes
) -> None:
    rig.push(build("alpha"))
    rig.rebuild()
    (rig.site / path).write_bytes(damage)

    rig.push(build("beta"))
    rig.rebuild()

    assert set(rig.records()) == {"alpha-1.0-0.conda", "beta-1.0-0.conda"}
    rig.assert_sound()
