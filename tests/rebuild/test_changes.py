"""A change feed spares listings, and only those: what it can't vouch for is listed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import responses

from demo.packages import build
from indexer.cli.display import Terminal
from indexer.errors import GuardError, RegistryError
from indexer.rebuild import naming
from indexer.rebuild.changes import LISTED_EVERY, MARGIN, Freshness, judge
from indexer.rebuild.state import Listed
from indexer.registry import github
from indexer.registry.github import Stamp
from tests.support import faults
from tests.support.rig import CHANNEL, START, Rig, reasons

if TYPE_CHECKING:
    from requests import PreparedRequest

API = "https://api.github.com"
LISTING = f"{API}/orgs/acme/packages"
LONG_AGO = START - timedelta(days=30)


def written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class GitHub:
    """The Packages API, on one page: the names of packages, and what it says of each."""

    packages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def says(self, name: str, time: datetime | None = LONG_AGO, **more: Any) -> None:
        """A package of noarch changed at this time; None: nobody knows when."""
        item = {"updated_at": written(time)} if time else {}
        full = f"{CHANNEL}/noarch/{name}"
        self.packages[full] = {"name": full} | item | more

    def forgets(self, name: str) -> None:
        del self.packages[f"{CHANNEL}/noarch/{name}"]

    def answer(self, _: PreparedRequest) -> tuple[int, dict[str, str], str]:
        return 200, {}, json.dumps(list(self.packages.values()))


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as made:
        # The registry is a real server.
        made.add_passthru("http://")
        yield made


@pytest.fixture
def hub(rig: Rig, mock: responses.RequestsMock) -> GitHub:
    """Alpha, beta and gamma, each of one build; nothing has been read yet."""
    rig.apis = {rig.config().registry.host: API}
    rig.environ["CF_INDEX_GITHUB_TOKEN"] = "ghp_example"  # noqa: S105
    made = GitHub()
    mock.add_callback(responses.GET, LISTING, callback=made.answer)
    for name in ("alpha", "beta", "gamma"):
        rig.push(build(name))
        made.says(name)
    return made


@pytest.fixture
def fed(rig: Rig, hub: GitHub) -> Rig:
    """A channel that was read to the end once, with the feed."""
    assert hub.packages
    assert rig.rebuild().requests["tags"] == 3
    return rig


def listed(rig: Rig) -> set[str]:
    """The packages whose tags were asked for since the last run began."""
    asked = [request for request in rig.fake.requests if request.kind == "tags"]
    return {request.path.split("/")[-3] for request in asked}


def test_what_github_says_is_unchanged_is_not_listed(fed: Rig) -> None:
    before = fed.tree()

    report = fed.rebuild()

    assert report.requests == {"github": 1}
    assert fed.tree() == before
    part = report.subdirs["noarch"]
    assert (part.repositories, part.unchanged, part.tags) == (3, 3, 3)
    assert report.changes_from == (
        "the GitHub Packages API: 3 of 3 repositories unchanged since they were listed"
    )


def test_what_github_says_has_changed_is_listed_and_nothing_else(fed: Rig, hub: GitHub) -> None:
    fed.push(build("beta", "2.0"))
    hub.says("beta", fed.now)

    report = fed.rebuild()

    assert listed(fed) == {"beta"}
    assert report.requests == {"blobs": 1, "github": 1, "manifests": 1, "tags": 1}
    assert not any("other tags" in note for note in report.notes)
    assert sorted(fed.records()) == [
        "alpha-1.0-0.conda",
        "beta-1.0-0.conda",
        "beta-2.0-0.conda",
        "gamma-1.0-0.conda",
    ]
    assert fed.rebuild().requests == {"github": 1}


def test_a_new_package_is_listed(fed: Rig, hub: GitHub) -> None:
    fed.push(build("delta"))
    hub.says("delta")
    fed.rebuild()
    assert listed(fed) == {"delta"}
    assert len(fed.records()) == 4


def test_an_earlier_time_than_before_is_a_change_too(fed: Rig, hub: GitHub) -> None:
    hub.says("beta", LONG_AGO - timedelta(days=1))
    fed.rebuild()
    assert listed(fed) == {"beta"}


def test_another_count_of_versions_is_a_change_within_the_same_second(
    fed: Rig, hub: GitHub
) -> None:
    hub.says("beta", version_count=2)
    fed.rebuild()
    assert listed(fed) == {"beta"}


def test_a_package_without_a_time_is_always_listed(fed: Rig, hub: GitHub) -> None:
    for time in (None, LONG_AGO):
        for _ in range(2):
            hub.says("alpha", time)
            hub.says("beta", None, updated_at="soon")
            fed.rebuild()
            assert "beta" in listed(fed)
    assert "alpha" not in listed(fed)


def test_all_is_listed_once_a_day(fed: Rig) -> None:
    counts = [fed.rebuild().requests.get("tags", 0) for _ in range(4 * 24 + 1)]
    assert counts == [*[0] * 95, 3, 0]


def test_a_change_shortly_before_a_listing_may_have_had_a_brother(fed: Rig, hub: GitHub) -> None:
    hub.says("beta", fed.now + timedelta(minutes=15, seconds=-MARGIN + 1))
    fed.rebuild()
    assert listed(fed) == {"beta"}
    fed.rebuild()
    assert listed(fed) == {"beta"}
    fed.rebuild()
    assert listed(fed) == set()


def test_a_change_long_enough_before_a_listing_has_none(fed: Rig, hub: GitHub) -> None:
    hub.says("beta", fed.now + timedelta(minutes=15, seconds=-MARGIN))
    fed.rebuild()
    assert listed(fed) == {"beta"}
    fed.rebuild()
    assert listed(fed) == set()


def test_a_time_of_github_s_that_lies_ahead_vouches_for_nothing(fed: Rig, hub: GitHub) -> None:
    hub.says("beta", fed.now + timedelta(days=2))
    for _ in range(3):
        fed.rebuild()
        assert listed(fed) == {"beta"}


def test_a_clock_that_goes_back_lists_everything(fed: Rig) -> None:
    fed.now -= timedelta(days=3)
    fed.rebuild()
    assert listed(fed) == {"alpha", "beta", "gamma"}
    fed.rebuild()
    assert listed(fed) == set()


def test_an_interrupted_run_lists_again_what_it_had_not_read(fed: Rig, hub: GitHub) -> None:
    for name in ("alpha", "beta"):
        fed.push(build(name, "2.0"))
        hub.says(name, fed.now)
    fed.fake.knobs.faults = [
        faults.status(503, match=faults.is_manifest(fed.repository("noarch", "beta")))
    ]
    with pytest.raises(RegistryError):
        fed.rebuild(jobs=1)
    assert listed(fed) == {"alpha", "beta"}
    fed.fake.knobs.faults = []

    fed.rebuild()

    assert "beta" in listed(fed)
    assert "gamma" not in listed(fed)
    assert {"alpha-2.0-0.conda", "beta-2.0-0.conda"} <= fed.records().keys()


def test_a_first_run_that_failed_vouches_for_nothing_it_had_not_read(rig: Rig, hub: GitHub) -> None:
    assert hub.packages
    rig.fake.knobs.faults = [
        faults.status(503, match=faults.is_manifest(rig.repository("noarch", "beta")))
    ]
    with pytest.raises(RegistryError):
        rig.rebuild(jobs=1)
    rig.fake.knobs.faults = []
    rig.rebuild()
    assert "beta" in listed(rig)
    assert len(rig.records()) == 3


def test_a_package_that_github_lists_no_more_leaves_the_index(fed: Rig, hub: GitHub) -> None:
    hub.forgets("beta")
    fed.rebuild()
    assert sorted(fed.records()) == ["alpha-1.0-0.conda", "gamma-1.0-0.conda"]
    hub.says("beta")
    fed.rebuild()
    assert listed(fed) == {"beta"}
    assert len(fed.records()) == 3


def test_an_empty_feed_is_refused_by_the_guard(fed: Rig, hub: GitHub) -> None:
    before = fed.tree()
    hub.packages.clear()
    with pytest.raises(GuardError):
        fed.rebuild()
    assert fed.tree() == before


def test_a_named_package_is_always_listed_and_the_feed_not_asked(fed: Rig) -> None:
    report = fed.rebuild(packages=("beta",), subdirs=("noarch",))
    assert report.requests == {"manifests": 1, "tags": 1}
    assert listed(fed) == {"beta"}


def test_packages_named_by_a_glob_are_always_listed(fed: Rig) -> None:
    report = fed.rebuild(packages=("[ab]*",))
    assert listed(fed) == {"alpha", "beta"}
    assert report.requests == {"github": 1, "manifests": 2, "tags": 2}


def test_a_full_run_lists_everything_and_is_remembered(fed: Rig) -> None:
    fed.rebuild(full=True)
    assert listed(fed) == {"alpha", "beta", "gamma"}
    fed.rebuild()
    assert listed(fed) == set()


def test_whoever_does_not_trust_the_feed_lists_everything(fed: Rig) -> None:
    report = fed.rebuild(list_all=True)
    assert report.requests == {"github": 1, "tags": 3}
    assert report.changes_from == "no feed, every repository was listed: --list-all was said"


def test_a_lost_state_lists_everything(fed: Rig) -> None:
    before = fed.tree()
    shutil.rmtree(fed.root / "state")
    fed.rebuild()
    assert listed(fed) == {"alpha", "beta", "gamma"}
    assert fed.tree() == before


def test_a_dry_run_leaves_nothing_for_the_next_one(fed: Rig, hub: GitHub) -> None:
    hub.says("beta", fed.now)
    for _ in range(2):
        fed.rebuild(dry_run=True)
        assert listed(fed) == {"beta"}


def test_what_waits_in_an_unchanged_repository_is_looked_at_as_always(
    fed: Rig, hub: GitHub
) -> None:
    fed.push(build("beta", "2.0"), validated=False)
    hub.says("beta", LONG_AGO + timedelta(days=1))
    fed.rebuild()
    fed.push(build("beta", "2.0"))

    report = fed.rebuild()

    assert listed(fed) == set()
    assert report.subdirs["noarch"].looked_again == 1
    assert "beta-2.0-0.conda" in fed.records()
    assert fed.rebuild().requests == {"github": 1}


def test_unchanged_repositories_are_rechecked_as_always(fed: Rig) -> None:
    fed.push(build("beta"), validated=False)
    report = fed.rebuild(recheck=Fraction(1))
    assert report.requests == {"github": 1, "manifests": 3}
    assert "beta-1.0-0.conda" not in fed.records()


@pytest.mark.parametrize("recheck", [Fraction(0), Fraction(1)])
def test_a_tag_that_could_not_be_read_is_listed_again(
    fed: Rig, hub: GitHub, recheck: Fraction
) -> None:
    if not recheck:
        hub.says("beta", LONG_AGO + timedelta(days=1))
        fed.push(build("beta", "2.0"))
    fed.fake.knobs.faults = [
        faults.status(404, match=faults.is_manifest(fed.repository("noarch", "beta")))
    ]
    report = fed.rebuild(recheck=recheck)
    assert all("can't be read" in reason for reason in reasons(report).values())
    for _ in range(2):
        report = fed.rebuild()
        assert listed(fed) == {"beta"}
        assert any(name.startswith("beta:") for name in reasons(report))
    fed.fake.knobs.faults = []
    fed.rebuild()
    assert "beta-1.0-0.conda" in fed.records()
    fed.rebuild()
    assert listed(fed) == set()


def test_a_repository_that_could_not_be_listed_is_listed_again(fed: Rig, hub: GitHub) -> None:
    hub.says("delta")
    for _ in range(2):
        assert len(fed.rebuild().passed_over) == 1
        assert listed(fed) == {"delta"}


def test_a_tag_that_is_none_keeps_its_repository_in_doubt(fed: Rig, hub: GitHub) -> None:
    hub.says("beta", LONG_AGO + timedelta(days=1))
    tags = json.dumps({"tags": ["1.0-0", "../1.0-0"]}).encode()
    is_beta = faults.is_tags(fed.repository("noarch", "beta"))
    fed.fake.knobs.faults = [faults.replace_body(tags, match=is_beta)]
    for _ in range(2):
        assert len(fed.rebuild().left_out) == 1
        assert listed(fed) == {"beta"}


def test_a_change_that_github_did_not_tell_is_seen_within_a_day_and_told(fed: Rig) -> None:
    fed.fake.remove_tag(fed.repository("noarch", "beta"), "1.0-0")
    fed.push(build("gamma", "2.0"))
    assert not any("other tags" in note for note in fed.rebuild().notes)
    assert "beta-1.0-0.conda" in fed.records()
    fed.now += timedelta(days=1)

    report = fed.rebuild()

    assert "beta-1.0-0.conda" not in fed.records()
    assert any("2 repositories had other tags" in note for note in report.notes)


@pytest.mark.parametrize("statuses", [(400, 403), (401, 401), (404, 404)])
def test_where_the_api_refuses_everything_is_listed_and_the_report_says_so(
    fed: Rig, mock: responses.RequestsMock, statuses: tuple[int, int]
) -> None:
    mock.replace(responses.GET, LISTING, status=statuses[0])
    mock.get(f"{API}/users/acme/packages", status=statuses[1])
    for _ in range(2):
        report = fed.rebuild()
        assert listed(fed) == {"alpha", "beta", "gamma"}
        assert report.names_from == "the previous index"
        assert "no feed, every repository was listed" in report.changes_from
        assert str(statuses[0]) in report.changes_from


def test_without_a_token_everything_is_listed_and_the_report_says_so(fed: Rig) -> None:
    fed.environ.clear()
    report = fed.rebuild()
    assert report.requests == {"tags": 3}
    assert "no token" in report.changes_from


def test_a_feed_that_breaks_off_ends_the_run_where_names_come_from_it(
    fed: Rig, mock: responses.RequestsMock
) -> None:
    mock.replace(responses.GET, LISTING, status=503)
    with pytest.raises(RegistryError):
        fed.rebuild()


def test_an_owner_of_more_than_github_lists_is_read_by_known_names(
    fed: Rig, hub: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "_LAST_PAGE", 1)
    monkeypatch.setattr(github, "_PER_PAGE", 2)
    hub.forgets("gamma")

    report = fed.rebuild()

    assert report.names_from == "the previous index"
    assert listed(fed) == {"gamma"}
    assert len(fed.records()) == 3
    assert "2 of 3" in report.changes_from
    assert "first 2 packages of an owner" in report.changes_from


@pytest.fixture
def names(fed: Rig, monkeypatch: pytest.MonkeyPatch) -> str:
    """A names file that is worth asking the feed for."""
    monkeypatch.setattr(naming, "_WORTH_ASKING", 2)
    path = fed.root / "names.txt"
    path.write_text("noarch/alpha\nnoarch/beta\nnoarch/gamma\n")
    return str(path)


def test_with_names_from_a_file_the_feed_tells_what_has_changed(
    fed: Rig, hub: GitHub, names: str
) -> None:
    hub.says("beta", fed.now)
    hub.says("delta")
    report = fed.rebuild(names=names)
    assert report.names_from == "the names file"
    assert report.requests == {"github": 1, "tags": 1}
    assert listed(fed) == {"beta"}
    assert "2 of 3" in report.changes_from


def test_a_name_that_only_the_file_knows_is_listed(fed: Rig, hub: GitHub, names: str) -> None:
    hub.forgets("beta")
    fed.rebuild(names=names)
    assert listed(fed) == {"beta"}


@pytest.mark.parametrize("status", [403, 503])
def test_with_names_from_a_file_a_feed_out_of_order_stops_nothing(
    fed: Rig, mock: responses.RequestsMock, names: str, status: int
) -> None:
    mock.replace(responses.GET, LISTING, status=status)
    mock.get(f"{API}/users/acme/packages", status=status)
    report = fed.rebuild(names=names)
    assert listed(fed) == {"alpha", "beta", "gamma"}
    assert f"{status}" in report.changes_from


def test_for_few_names_from_a_file_the_feed_is_not_asked(
    fed: Rig, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    report = fed.rebuild(names=names)
    assert report.requests == {"tags": 3}
    assert "costs as much as it saves" in report.changes_from


def test_a_registry_without_a_feed_is_listed_and_nothing_said(rig: Rig) -> None:
    rig.push(build("alpha"))
    for _ in range(2):
        report = rig.rebuild()
        assert report.requests["tags"] == 1
        assert report.changes_from == ""


def test_people_are_told_of_the_feed(fed: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().show(fed.rebuild(), site=Path("site"))
    assert "Changes from the GitHub Packages API: 3 of 3" in capsys.readouterr().out


NOW = 1_800_000_000
SAME = Stamp("then", NOW - 10 * LISTED_EVERY)


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (NOW, Freshness.UNCHANGED),
        (NOW - LISTED_EVERY + 1, Freshness.UNCHANGED),
        (NOW - LISTED_EVERY, Freshness.OVERDUE),
        (NOW + 1, Freshness.OVERDUE),
        (SAME.seconds + MARGIN, Freshness.OVERDUE),
        (SAME.seconds + MARGIN - 1, Freshness.CHANGED),
    ],
)
def test_when_it_was_listed_decides_on_a_stamp_that_is_the_same(at: int, found: Freshness) -> None:
    assert judge(Listed("a", at, "then", 1, unsettled=False), SAME, NOW) is found


@pytest.mark.parametrize("stamp", [None, Stamp("Then", SAME.seconds), Stamp("", SAME.seconds)])
def test_another_stamp_is_a_change_whenever_it_was_listed(stamp: Stamp | None) -> None:
    assert judge(Listed("a", NOW, "then", 1, unsettled=False), stamp, NOW) is Freshness.CHANGED
