"""A site stays within its size as its channel grows."""

from __future__ import annotations

from demo.packages import build
from indexer.files import size_of_tree
from indexer.render.history import SNAPSHOT, decode_snapshot
from tests.support.rig import Rig


def level(rig: Rig) -> str:
    snapshot = decode_snapshot((rig.site / SNAPSHOT).read_bytes())
    assert snapshot.pages is not None
    return snapshot.pages.level


def fill(rig: Rig, names: range) -> None:
    for number in names:
        rig.push(build(f"pkg{number:02}"))


def test_a_channel_that_outgrows_its_room_stays_within_it(rig: Rig) -> None:
    fill(rig, range(20))
    rig.rebuild()
    limit = int(size_of_tree(rig.site) * 1.1)
    rig.rebuild(max_site_size=limit)
    assert level(rig) == "full"

    fill(rig, range(20, 30))
    rig.rebuild(max_site_size=limit)

    assert level(rig) != "full"
    assert size_of_tree(rig.site) <= limit
    rig.assert_sound()
