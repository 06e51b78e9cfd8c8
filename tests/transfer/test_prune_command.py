"""``prune`` takes out what nobody let in: that, nothing else, and only what is still as judged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import responses
from click.testing import CliRunner, Result

from demo.layers import VALIDATED, Image, digest_of, package_manifest
from demo.packages import Package, build
from indexer.channel.policy import Policy
from indexer.cli import main
from indexer.errors import ConfigError, GuardError, RegistryError
from indexer.published import Folder
from indexer.registry import RegistryAddress, Transport, open_registry
from indexer.registry.content import OCI_INDEX, OCI_MANIFEST, Content
from indexer.registry.removal import open_remover
from indexer.render.history import SNAPSHOT, UNSETTLED, encode_unsettled
from indexer.transfer.audit import AuditLog
from indexer.transfer.doomed import Limits, Plan
from indexer.transfer.job import Job
from indexer.transfer.naming import list_repositories
from indexer.transfer.prune import Prune
from indexer.transfer.standing import Inspector
from indexer.transfer.surveying import FirstSeen, read_first_seen
from indexer.trust.judging import Held
from indexer.trust.keys import Keyring
from indexer.trust.storage import VerdictTag
from tests.registry.help import VirtualTime
from tests.support import faults
from tests.support.registry_process import RegistryProcess
from tests.support.rig import CHANNEL, Rig
from tests.support.validator import VALIDATED_AT, Validator, put_beside, verdict_of
from tests.transfer.stage import registry_of

if TYPE_CHECKING:
    from requests import PreparedRequest

DAY = timedelta(days=1)
BOTH = Limits(DAY, 7 * DAY)
REJECTED = {"org.conda-forge.status": "rejected", "org.conda-forge.status.reason": "it breaks"}
ATTESTED = Policy("attestation")
ALPHA, BETA = build("alpha"), build("beta")
ALPHA_BZ2 = build("alpha", archive="tar.bz2")
FULL = "acme/forge/noarch/alpha"
REF = f"noarch/alpha:1.0-0@{digest_of(b'x')}"


def made(
    *packages: Package, uploaded: datetime | None, annotations: Mapping[str, str] | None = None
) -> Image:
    """An image of a build with archives of this upload time."""
    image = package_manifest(packages, annotations=annotations)
    manifest = json.loads(image.manifest)
    for layer in manifest["layers"]:
        del layer["annotations"]["creationTime"]
        if uploaded is not None:
            layer["annotations"]["creationTime"] = uploaded.strftime("%Y.%m.%d.%H%M%S")
    return replace(image, manifest=json.dumps(manifest).encode())


@dataclass
class Stage:
    """A staging channel in a registry, and whoever prunes it."""

    rig: Rig
    address: RegistryAddress
    policy: Policy = field(default_factory=Policy)
    validator: Validator | None = None
    rejections: tuple[Held, ...] = ()
    first_seen: FirstSeen = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    apis: dict[str, str] = field(default_factory=dict)

    def push(
        self,
        *packages: Package,
        days: float | None = 3,
        annotations: Mapping[str, str] | None = None,
        tag: str | None = None,
        repository: str | None = None,
    ) -> str:
        """Push a build that was uploaded so many days ago (None: nobody knows); its digest."""
        uploaded = None if days is None else self.rig.now - timedelta(days=days)
        image = made(*packages, uploaded=uploaded, annotations=annotations)
        name = repository or image.repository_name
        full = self.address.repository(CHANNEL, packages[0].subdir, name)
        with registry_of(self.rig, self.address) as registry:
            for data in image.blobs.values():
                registry.put_blob(full, Content.of_bytes(data))
            return str(
                registry.put_manifest(full, tag or image.tag, image.manifest, image.media_type)
            )

    def say(self, package: Package, **changes: Any) -> VerdictTag:
        """Put a signed verdict beside a package."""
        assert self.validator is not None
        return self.validator.say(self.address, CHANNEL, package, **changes)

    def tags(self, name: str = "alpha", subdir: str = "noarch") -> list[str]:
        with registry_of(self.rig, self.address) as registry:
            return sorted(registry.tags(self.address.repository(CHANNEL, subdir, name)))

    def prune(
        self,
        *,
        limits: Limits = BOTH,
        act: bool = True,
        between: Callable[[], object] = lambda: None,
        max_prune: float = 1.0,
        **settings: Any,
    ) -> Pruned:
        """One run; ``between`` happens after it has planned."""
        self.rig.fake.clear_requests()
        with closing(Transport(clock=VirtualTime().clock, retry_for=1)) as transport:
            registry = open_registry(self.address, transport, writing=True)
            defaults: dict[str, Any] = {"now": self.rig.now, "jobs": 4, "abort": transport.close}
            keyring = self.validator.keyring if self.validator else Keyring()
            inspector = Inspector(
                registry=registry,
                channel=CHANNEL,
                policy=self.policy,
                keyring=keyring,
                now=self.rig.now,
                rejections=self.rejections,
            )
            prune = Prune(
                Job(registry=registry, channel=CHANNEL, **(defaults | settings)),
                inspector,
                open_remover(registry, transport, self.environ, self.apis),
                limits,
                self.first_seen,
            )
            listing = list_repositories(
                registry, transport, CHANNEL, settings.get("subdirs", ()), self.environ, self.apis
            )
            plan = prune.plan(listing)
            plan.raise_if_unsafe(max_prune)
            between()
            if act:
                log = AuditLog(self.log, "me", now=lambda: self.rig.now)
                prune.carry_out(plan, log)
        return Pruned(prune, plan)

    @property
    def log(self) -> Path:
        return self.rig.root / "audit.jsonl"

    def told(self) -> list[dict[str, str]]:
        """What the audit log says."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass
class Pruned:
    """What came of a run."""

    prune: Prune
    plan: Plan

    @property
    def planned(self) -> list[str]:
        removals = (*self.plan.packages, *self.plan.verdicts)
        return sorted(name.partition("@")[0] for r in removals for name in r.references)

    @property
    def removed(self) -> list[str]:
        return sorted(name.partition("@")[0] for r in self.prune.removed for name in r.references)

    @property
    def notes(self) -> str:
        return "\n".join(self.prune.outcome.notes)

    @property
    def failures(self) -> list[str]:
        return [failure.reason for failure in self.prune.outcome.failures]


@pytest.fixture
def stage(rig: Rig) -> Stage:
    return Stage(rig, rig.config().registry)


@pytest.fixture(params=["remote", "folder", "docker-registry"])
def anywhere(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path) -> Stage:
    """In each kind of registry."""
    if request.param == "remote":
        return Stage(rig, rig.config().registry)
    if request.param == "folder":
        return Stage(rig, RegistryAddress.parse(f"ocidir://{tmp_path / 'layouts'}"))
    real: RegistryProcess = request.getfixturevalue("docker_registry")
    # It is one for all tests: each has a namespace of its own.
    namespace = re.sub("[^a-z0-9]+", "", tmp_path.name)
    return Stage(rig, RegistryAddress.parse(f"oci+{real.http}/{namespace}"))


@pytest.fixture
def attested(stage: Stage, tmp_path: Path) -> Stage:
    """A channel whose policy is attestation."""
    stage.policy, stage.validator = ATTESTED, Validator(tmp_path)
    return stage


def test_what_nobody_let_in_goes_and_what_is_let_in_stays(anywhere: Stage) -> None:
    anywhere.push(ALPHA, annotations=VALIDATED, days=900)
    anywhere.push(build("alpha", "2.0"))
    anywhere.push(build("alpha", "3.0"), days=0.9)
    anywhere.push(BETA, annotations=REJECTED, days=8)
    anywhere.push(build("beta", "2.0"), annotations=REJECTED, days=6)
    digest = anywhere.push(build("gamma", subdir="linux-64"))
    went = ["linux-64/gamma:1.0-0", "noarch/alpha:2.0-0", "noarch/beta:1.0-0"]
    done = anywhere.prune()
    assert (done.planned, done.removed, done.failures, done.notes) == (went, went, [], "")
    assert (done.plan.builds, done.plan.looked_at) == (3, 6)
    assert (done.plan.count("unmarked"), done.plan.count("rejected")) == (2, 1)
    assert anywhere.tags() == ["1.0-0", "3.0-0"]
    assert (anywhere.tags("beta"), anywhere.tags("gamma", "linux-64")) == (["2.0-0"], [])
    line = next(line for line in anywhere.told() if line["repository"] == "gamma")
    assert line == {
        "time": "2026-11-01T12:00:00+00:00",
        "who": "me",
        "action": "pruned",
        "registry": str(anywhere.address),
        "channel": "forge",
        "subdir": "linux-64",
        "repository": "gamma",
        "tag": "1.0-0",
        "digest": digest,
        "reference": f"linux-64/gamma:1.0-0@{digest}",
        "reason": "unmarked, uploaded 2026-10-29T12:00:00Z",
    }
    assert "marked as rejected: it breaks" in anywhere.log.read_text()
    again = anywhere.prune()
    assert (again.planned, again.failures, len(anywhere.told())) == ([], [], 3)


def test_a_plan_alone_changes_nothing(stage: Stage) -> None:
    stage.push(ALPHA)
    done = stage.prune(act=False)
    assert done.planned == ["noarch/alpha:1.0-0"]
    assert {request.method for request in stage.rig.fake.requests} == {"GET"}
    assert not stage.log.exists()


@pytest.mark.parametrize(
    ("limits", "went"),
    [
        (Limits(DAY, None), ["noarch/alpha:1.0-0"]),
        (Limits(None, DAY), ["noarch/beta:1.0-0"]),
        (Limits(3 * DAY, 3 * DAY), []),
        (Limits(3 * DAY - timedelta(seconds=1), None), ["noarch/alpha:1.0-0"]),
    ],
)
def test_each_kind_has_a_limit_of_its_own(stage: Stage, limits: Limits, went: list[str]) -> None:
    stage.push(ALPHA)
    stage.push(BETA, annotations=REJECTED)
    assert stage.prune(limits=limits, act=False).planned == went


def test_without_a_policy_nothing_is_unmarked(stage: Stage) -> None:
    stage.push(ALPHA)
    stage.policy = Policy("none")
    with pytest.raises(ConfigError, match="nothing would ever be unmarked"):
        stage.prune()
    assert stage.tags() == ["1.0-0"]


def test_what_was_let_in_stays_even_where_no_index_can_have_it(stage: Stage) -> None:
    stage.push(build("alpha", extra_index={"name": "openssl"}), annotations=VALIDATED, days=900)
    done = stage.prune()
    assert (done.planned, done.plan.looked_at) == ([], 1)


def test_what_can_be_no_package_is_unmarked_too(stage: Stage) -> None:
    """Nobody let it in, and no index could have it: it would stay for ever."""
    no_archive = {"schemaVersion": 2, "config": {}, "layers": []}
    for number, body in enumerate((b"no manifest", json.dumps(no_archive).encode())):
        tag = f"{number}-0"
        stage.rig.fake.add_manifest("acme/forge/noarch/alpha", tag, body, OCI_MANIFEST)
        seen = stage.rig.now - 2 * DAY
        stage.first_seen = {**stage.first_seen, ("noarch", "alpha", tag): int(seen.timestamp())}
    # And it keeps nothing else from going.
    stage.push(ALPHA)
    done = stage.prune()
    assert len(done.removed) == 3
    assert stage.tags() == []


def test_a_repository_without_a_manifest_yet_stops_nothing(stage: Stage) -> None:
    # As docker-registry lists one where an upload broke off.
    stage.push(ALPHA)
    stage.push(BETA)
    stage.rig.fake.knobs.faults = [
        faults.status(404, match=faults.is_tags("acme/forge/noarch/beta"))
    ]
    assert stage.prune().removed == ["noarch/alpha:1.0-0"]


def test_the_age_of_what_has_no_time_is_the_site_s(stage: Stage, tmp_path: Path) -> None:
    names = ("old", "young", "ahead", "unknown", "future")
    for name in names[:4]:
        stage.push(build(name), days=None)
    stage.push(build("future"), days=-1)
    now = int(stage.rig.now.timestamp())
    first_seen = {
        ("noarch", "old", "1.0-0"): now - 2 * 86400,
        ("noarch", "young", "1.0-0"): now - 3600,
        ("noarch", "ahead", "1.0-0"): now + 3600,
        ("linux-64", "unknown", "1.0-0"): 0,
        ("noarch", "future", "1.0-0"): now - 2 * 86400,
    }
    (tmp_path / "site/history").mkdir(parents=True)
    (tmp_path / "site" / UNSETTLED).write_bytes(encode_unsettled(first_seen))
    stage.first_seen = read_first_seen(Folder(tmp_path / "site"))
    done = stage.prune()
    assert done.removed == ["noarch/future:1.0-0", "noarch/old:1.0-0"]
    for name in ("unknown", "ahead"):
        assert f"noarch/{name}:1.0-0 stays: nothing says when it was uploaded" in done.notes
    assert "run rebuild" in done.notes
    assert "young" not in done.notes
    assert "first seen 2026-10-30T12:00:00Z" in stage.log.read_text()


def test_a_site_without_such_a_file_remembers_nothing(tmp_path: Path) -> None:
    assert read_first_seen(Folder(tmp_path)) == {}
    (tmp_path / "history").mkdir()
    (tmp_path / UNSETTLED).write_bytes(b"{}")
    with pytest.raises(GuardError, match="first seen can't be read"):
        read_first_seen(Folder(tmp_path))


@pytest.mark.parametrize("other", ["latest", f"sha256-{'0' * 64}"])
def test_a_manifest_that_another_tag_needs_stays(anywhere: Stage, other: str) -> None:
    anywhere.push(ALPHA)
    anywhere.push(ALPHA, tag=other)
    done = anywhere.prune()
    assert (done.planned, anywhere.tags()) == ([], sorted(["1.0-0", other]))
    assert f"noarch/alpha:1.0-0 stays: the tag {other} leads to sha256:" in done.notes


def test_a_manifest_that_a_younger_build_needs_stays(stage: Stage) -> None:
    for tag in ("1.0-0", "2.0-0"):
        stage.push(ALPHA, days=None, tag=tag)
        seen = stage.rig.now - (2 * DAY if tag == "1.0-0" else DAY / 2)
        stage.first_seen = {**stage.first_seen, ("noarch", "alpha", tag): int(seen.timestamp())}
    done = stage.prune()
    assert (done.planned, stage.tags()) == ([], ["1.0-0", "2.0-0"])
    assert "noarch/alpha:1.0-0 stays: the tag 2.0-0 leads to" in done.notes


def test_a_manifest_all_of_whose_tags_are_planned_goes_at_once(anywhere: Stage) -> None:
    anywhere.push(ALPHA)
    anywhere.push(ALPHA, tag="2.0-0")
    done = anywhere.prune()
    assert done.removed == ["noarch/alpha:1.0-0", "noarch/alpha:2.0-0"]
    assert (len(done.prune.removed), done.plan.builds, anywhere.tags()) == (1, 2, [])
    assert sorted(line["tag"] for line in anywhere.told()) == ["1.0-0", "2.0-0"]


def index_of(stage: Stage, digest: str, tag: str) -> str:
    """An image index that leads to a manifest of alpha's."""
    size = len(stage.rig.fake._repositories[FULL].manifests[digest][0])  # noqa: SLF001
    child = {"mediaType": OCI_MANIFEST, "digest": digest, "size": size}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]})
    return stage.rig.fake.add_manifest(FULL, tag, body.encode(), OCI_INDEX)


def test_of_an_image_index_the_index_alone_goes(stage: Stage) -> None:
    child = stage.push(ALPHA)
    stage.rig.fake.remove_tag(FULL, "1.0-0")
    index = index_of(stage, child, "1.0-0")
    done = stage.prune()
    assert [str(removal.digest) for removal in done.prune.removed] == [index]
    with registry_of(stage.rig) as registry:
        assert str(registry.manifest(FULL, child).digest) == child


def test_what_an_image_index_that_stays_leads_to_stays(stage: Stage) -> None:
    index_of(stage, stage.push(ALPHA), "latest")
    done = stage.prune()
    assert done.planned == []
    assert "the tag latest leads to" in done.notes


def test_a_tag_that_was_pushed_anew_meanwhile_stays(anywhere: Stage) -> None:
    anywhere.push(ALPHA)
    done = anywhere.prune(between=lambda: anywhere.push(ALPHA_BZ2, days=0))
    assert (done.planned, done.removed, anywhere.tags()) == (
        ["noarch/alpha:1.0-0"],
        [],
        ["1.0-0"],
    )
    assert "1.0-0 leads to sha256:" in done.notes
    assert not anywhere.log.exists()


def test_a_build_that_was_marked_meanwhile_stays(stage: Stage) -> None:
    stage.push(ALPHA)
    done = stage.prune(between=lambda: stage.push(ALPHA, annotations=VALIDATED))
    assert (done.removed, stage.tags()) == ([], ["1.0-0"])


def test_a_tag_that_came_meanwhile_keeps_what_it_needs(stage: Stage) -> None:
    stage.push(ALPHA)
    done = stage.prune(between=lambda: stage.push(ALPHA, tag="latest"))
    assert (done.removed, stage.tags()) == ([], ["1.0-0", "latest"])
    assert "latest has come meanwhile, and needs it" in done.notes


def test_so_does_an_image_index_that_came_meanwhile(stage: Stage) -> None:
    digest = stage.push(ALPHA)
    done = stage.prune(between=lambda: index_of(stage, digest, "latest"))
    assert (done.removed, stage.tags()) == ([], ["1.0-0", "latest"])


def test_one_that_needs_something_else_keeps_nothing(stage: Stage) -> None:
    stage.push(ALPHA)
    done = stage.prune(between=lambda: stage.push(build("alpha", "2.0")))
    assert (done.removed, stage.tags()) == (["noarch/alpha:1.0-0"], ["2.0-0"])


def test_what_somebody_else_took_out_meanwhile_is_no_failure(stage: Stage) -> None:
    stage.push(ALPHA)
    done = stage.prune(between=lambda: stage.rig.fake.remove_tag(FULL, "1.0-0"))
    assert (done.removed, done.failures, done.notes) == ([], [], "")


def test_a_verdict_that_came_meanwhile_keeps_its_package(attested: Stage) -> None:
    attested.push(ALPHA)
    tags: list[VerdictTag] = []
    done = attested.prune(between=lambda: tags.append(attested.say(ALPHA)))
    assert done.removed == []
    assert f"the verdict {tags[0]} has come meanwhile" in done.notes
    assert attested.prune().planned == []


def test_by_verdicts_what_passed_stays_and_all_else_goes_with_its_verdicts(
    attested: Stage,
) -> None:
    for package in (ALPHA, BETA, build("gamma")):
        # What anybody may write says nothing.
        attested.push(package, annotations=VALIDATED, days=8)
    kept = attested.say(ALPHA)
    failed = verdict_of(BETA, passed=False, reason="it breaks")
    no = attested.say(BETA, passed=False, reason="it breaks")
    void = put_beside(attested.address, CHANNEL, build("gamma"), b"junk")
    attested.rejections = (Held(failed, "key"),)
    done = attested.prune()
    assert done.removed == [
        "noarch/beta:1.0-0",
        f"noarch/beta:{no}",
        "noarch/gamma:1.0-0",
        f"noarch/gamma:{void}",
    ]
    assert (done.plan.builds, done.plan.looked_at, len(done.plan.verdicts)) == (2, 3, 2)
    assert attested.tags() == sorted(["1.0-0", str(kept)])
    assert (attested.tags("beta"), attested.tags("gamma")) == ([], [])
    told = attested.told()
    # The order of each two is nobody's; that of packages and verdicts is.
    assert sorted(line["tag"] for line in told[:2]) == ["1.0-0", "1.0-0"]
    assert {line["tag"] for line in told[2:]} == {str(no), str(void)}
    reasons = " / ".join(line["reason"] for line in told)
    assert "it breaks" in reasons
    assert "no verdict of a trusted key" in reasons
    assert "a verdict whose package is gone" in reasons


def test_a_tag_with_two_archives_stays_while_one_is_let_in(attested: Stage) -> None:
    attested.push(ALPHA, ALPHA_BZ2, days=90)
    attested.say(ALPHA_BZ2)
    attested.say(ALPHA, passed=False)
    assert attested.prune().planned == []


@pytest.mark.parametrize(("days", "goes"), [(3, False), (8, True)])
def test_one_of_which_one_is_rejected_waits_for_the_other(
    attested: Stage, days: int, *, goes: bool
) -> None:
    attested.push(ALPHA, ALPHA_BZ2, days=days)
    attested.say(ALPHA, passed=False)
    assert bool(attested.prune(act=False).planned) == goes
    assert attested.prune(act=False, limits=Limits(None, DAY)).planned == []
    later = attested.prune(act=False, limits=Limits(7 * DAY, DAY))
    assert bool(later.planned) == goes


def test_a_verdict_that_says_no_stays_until_a_site_remembers_it(attested: Stage) -> None:
    older, newer = VALIDATED_AT - 21 * DAY, VALIDATED_AT - 20 * DAY
    attested.push(ALPHA, days=90)
    attested.say(ALPHA, time=older)
    no = attested.say(ALPHA, passed=False, time=newer)
    done = attested.prune()
    assert len(done.removed) == 2
    assert attested.tags() == [str(no)]
    assert "say no, and stay without their packages: 1" in done.notes
    # An older no that is remembered is another one.
    attested.rejections = (Held(verdict_of(ALPHA, passed=False, time=older), "key"),)
    assert attested.prune().planned == []
    attested.rejections = (Held(verdict_of(ALPHA, passed=False, time=newer), "key"),)
    assert attested.prune().removed == [f"noarch/alpha:{no}"]
    assert attested.tags() == []


def test_a_run_that_was_interrupted_is_finished_by_the_next(attested: Stage) -> None:
    for package in (ALPHA, BETA):
        attested.push(package)
        put_beside(attested.address, CHANNEL, package, b"junk")
    attested.rig.fake.knobs.faults = [
        faults.closed(match=faults.is_delete("acme/forge/noarch/beta"))
    ]
    done = attested.prune(jobs=1)
    assert done.removed[0] == "noarch/alpha:1.0-0"
    assert attested.tags() == []
    assert len(attested.tags("beta")) == 2
    # The verdict is left because its package is.
    assert "1.0-0 is still there, which it is a verdict on" in done.notes
    assert "noarch/beta:1.0-0" in str(done.prune.outcome.failures)
    assert [line["failed"][:6] for line in attested.told() if "failed" in line] == ["DELETE"]
    attested.rig.fake.knobs.faults = []
    # As if it had ended right after the package.
    attested.rig.fake.remove_tag("acme/forge/noarch/beta", "1.0-0")
    done = attested.prune()
    assert (len(done.removed), done.plan.builds, attested.tags("beta")) == (1, 0, [])
    assert attested.prune().planned == []


def test_a_verdict_stays_while_any_tag_holds_its_archive(attested: Stage) -> None:
    attested.push(ALPHA)
    attested.push(ALPHA, days=5, tag="latest")
    put_beside(attested.address, CHANNEL, ALPHA, b"junk")
    done = attested.prune()
    assert (done.planned, len(attested.tags())) == (["noarch/alpha:1.0-0"], 2)


def test_a_verdict_stays_whose_package_came_meanwhile(attested: Stage) -> None:
    attested.push(ALPHA)
    tag = put_beside(attested.address, CHANNEL, ALPHA, b"junk")
    attested.rig.fake.remove_tag(FULL, "1.0-0")
    done = attested.prune(between=lambda: attested.push(ALPHA))
    assert (done.planned, done.removed) == ([f"noarch/alpha:{tag}"], [])
    assert "1.0-0 has come meanwhile, and needs it" in done.notes


def test_a_listing_that_lags_behind_does_not_keep_a_verdict(attested: Stage) -> None:
    attested.push(ALPHA)
    put_beside(attested.address, CHANNEL, ALPHA, b"junk")
    stale = json.dumps({"name": FULL, "tags": attested.tags()}).encode()
    lag = faults.replace_body(stale, match=faults.is_tags(FULL))
    done = attested.prune(between=lambda: attested.rig.fake.knobs.faults.append(lag))
    assert (len(done.removed), lag.fired) == (2, 2)


def test_what_somebody_may_have_said_yes_to_stays(attested: Stage) -> None:
    attested.push(ALPHA)
    tag = attested.say(ALPHA)
    attested.rig.fake.knobs.faults = [faults.tampered(match=faults.is_manifest(FULL, str(tag)))]
    done = attested.prune()
    assert (done.planned, len(attested.tags())) == ([], 2)
    assert f"the verdict {tag} on it can't be read" in done.notes


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(403, match=faults.is_tags("acme/forge/noarch/beta")),
        faults.status(503, match=faults.is_tags("acme/forge/noarch/beta")),
        faults.status(404, match=faults.is_page_after(faults.is_tags("acme/forge/noarch/beta"))),
        faults.status(404, match=faults.is_manifest("acme/forge/noarch/beta", "2.0-0")),
        faults.status(403, match=faults.is_manifest("acme/forge/noarch/beta", "2.0-0")),
        faults.status(404, match=faults.is_manifest("acme/forge/noarch/beta", "latest")),
        faults.status(503, match=faults.is_catalog()),
        faults.status(404, match=faults.is_page_after(faults.is_catalog())),
    ],
    ids=["denied", "down", "page", "gone", "no", "other", "catalog", "catalog page"],
)
def test_what_was_listed_by_half_is_never_pruned(stage: Stage, fault: faults.Fault) -> None:
    for package in (ALPHA, BETA, build("beta", "2.0"), build("gamma")):
        stage.push(package)
    stage.push(BETA, tag="latest")
    stage.rig.fake.knobs.page_size = 1
    stage.rig.fake.knobs.faults = [fault]
    with pytest.raises(RegistryError):
        stage.prune()
    assert fault.fired
    assert stage.rig.fake.count("manifests", "DELETE") == 0
    assert stage.tags() == ["1.0-0"]


def test_a_tag_that_leads_nobody_knows_where_keeps_its_repository_alone(stage: Stage) -> None:
    stage.push(ALPHA)
    stage.push(BETA)
    stage.rig.fake.add_manifest(FULL, "evil", b"x" * 600_000, OCI_MANIFEST)
    done = stage.prune()
    assert (done.removed, stage.tags()) == (["noarch/beta:1.0-0"], ["1.0-0", "evil"])
    assert "noarch/alpha stays as it is, since where its tag evil leads can't be told" in done.notes


def test_too_much_is_refused_before_anything_goes(stage: Stage) -> None:
    for number in range(10):
        stage.push(build("alpha", str(number)), annotations=VALIDATED if number > 3 else None)
    with pytest.raises(GuardError, match=r"4 of 10 builds would go, 40\.0%, more than 30\.0%"):
        stage.prune(max_prune=0.3)
    assert stage.rig.fake.count("manifests", "DELETE") == 0
    assert len(stage.prune(max_prune=0.4).removed) == 4


def test_what_is_meant_can_be_narrowed_down(stage: Stage) -> None:
    for package in (ALPHA, BETA, build("alpha", subdir="linux-64"), build("_alpha")):
        stage.push(package)
    done = stage.prune(act=False, subdirs=("noarch",), globs=("al*", "_*", "nothing"))
    assert done.planned == ["noarch/alpha:1.0-0", "noarch/zzz_alpha:1.0-0"]
    assert done.plan.looked_at == 2
    assert "--package nothing" in done.notes


def test_a_registry_that_deletes_nothing_is_a_failure_that_says_so(stage: Stage) -> None:
    stage.push(ALPHA)
    stage.rig.fake.knobs.deletes = False
    done = stage.prune()
    assert "storage.delete.enabled" in done.failures[0]
    assert (done.removed, stage.tags()) == ([], ["1.0-0"])
    assert "failed" in stage.told()[1]


def test_a_log_that_can_not_be_written_keeps_everything(stage: Stage) -> None:
    stage.push(ALPHA)
    stage.log.mkdir()
    with pytest.raises(ConfigError, match="audit log"):
        stage.prune()
    assert stage.tags() == ["1.0-0"]


API = "https://api.github.com"
TOKEN = "ghp_example"  # noqa: S105


@pytest.fixture
def hub(stage: Stage) -> Iterator[list[str]]:
    """GitHub, as the API of what the fake registry holds; gives what was asked to change."""
    changes: list[str] = []
    fake = stage.rig.fake
    stage.apis, stage.environ = {stage.address.host: API}, {"GH_TOKEN": TOKEN}
    fake.knobs.deletes = False
    ids: dict[str, int] = {}

    def packages(_: PreparedRequest) -> tuple[int, dict[str, str], str]:
        with registry_of(stage.rig) as registry:
            names = [name.removeprefix("acme/") for name in registry.repositories()]
        return 200, {}, json.dumps([{"name": name} for name in names])

    def versions(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        found = []
        for tag in fake.tags_of(FULL):
            with registry_of(stage.rig) as registry:
                digest = str(registry.manifest(FULL, tag).digest)
            found.append({"id": ids.setdefault(digest, len(ids) + 1), "name": digest})
        assert "forge%2Fnoarch%2Falpha/versions" in str(request.url)
        return 200, {}, json.dumps(found)

    def delete(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        changes.append(str(request.path_url))
        number = int(changes[-1].rpartition("/")[2])
        for tag in fake.tags_of(FULL):
            with registry_of(stage.rig) as registry:
                if ids[str(registry.manifest(FULL, tag).digest)] == number:
                    fake.remove_tag(FULL, tag)
        return 204, {}, ""

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_passthru("http://")
        mock.add_callback("GET", f"{API}/orgs/acme/packages", packages)
        mock.add_callback("GET", re.compile(rf"{API}/orgs/acme/packages/container/.*"), versions)
        mock.add_callback("DELETE", re.compile(rf"{API}/orgs/acme/.*"), delete)
        yield changes


def test_on_ghcr_github_deletes_and_the_registry_is_only_read(stage: Stage, hub: list[str]) -> None:
    stage.push(ALPHA)
    stage.push(build("alpha", "2.0"), annotations=VALIDATED)
    stage.rig.fake.clear_requests()
    assert stage.prune(act=False).planned == ["noarch/alpha:1.0-0"]
    assert hub == []
    done = stage.prune()
    assert (done.removed, done.failures) == (["noarch/alpha:1.0-0"], [])
    assert hub == ["/orgs/acme/packages/container/forge%2Fnoarch%2Falpha/versions/1"]
    assert {request.method for request in stage.rig.fake.requests} == {"GET"}
    assert stage.tags() == ["2.0-0"]


def test_on_ghcr_without_a_token_nothing_is_asked(stage: Stage, hub: list[str]) -> None:
    stage.push(ALPHA)
    stage.environ = {}
    with pytest.raises(ConfigError, match="CF_INDEX_GITHUB_TOKEN or GITHUB_TOKEN or GH_TOKEN"):
        stage.prune()
    assert (hub, stage.rig.fake.requests) == ([], [])


def run(stage: Stage, *words: object, text: str | None = None) -> Result:
    """The command itself."""
    target = ["--registry", str(stage.address), "--channel", CHANNEL, "--retry-for", "0.1"]
    audit = ["--audit", str(stage.log)]
    done = CliRunner().invoke(main, ["prune", *map(str, words), *target, *audit], input=text)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_command_prints_its_plan_and_acts_when_it_is_told_to(anywhere: Stage) -> None:
    digest = anywhere.push(ALPHA, days=1000)
    anywhere.push(BETA, annotations=VALIDATED)
    words = ["--unmarked-for", "2w", "--max-prune", "50%"]
    done = run(anywhere, *words)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        f"noarch/alpha:1.0-0@{digest}  # unmarked, uploaded 2024-02-05T12:00:00Z, "
    )
    assert "To go: 1 of 2 builds, 50.0% (1 unmarked, 0 rejected), and 0 verdicts." in done.stdout
    assert "say --yes" in done.stdout
    assert (anywhere.tags(), anywhere.log.exists()) == (["1.0-0"], False)
    done = run(anywhere, *words[:2], "--yes")
    assert (done.exit_code, anywhere.tags()) == (4, ["1.0-0"])
    assert f"noarch/alpha:1.0-0@{digest}" in done.stdout
    assert "1 of 2 builds would go, 50.0%, more than 30.0%" in done.stderr
    done = run(anywhere, *words, "--yes")
    assert (done.exit_code, anywhere.tags()) == (0, [])
    assert "1 builds and 0 verdicts were taken out." in done.stdout
    assert [line["action"] for line in anywhere.told()] == ["pruned"]
    done = run(anywhere, *words, "--yes")
    assert (done.exit_code, len(anywhere.told())) == (0, 1)


def test_the_command_reads_the_site(stage: Stage, tmp_path: Path) -> None:
    stage.push(ALPHA, days=None)
    (tmp_path / "old/history").mkdir(parents=True)
    seen = {("noarch", "alpha", "1.0-0"): 1_600_000_000}
    (tmp_path / "old" / SNAPSHOT).write_bytes(b"{}")
    (tmp_path / "old" / UNSETTLED).write_bytes(encode_unsettled(seen))
    words = ["--unmarked-for", "24h", "--max-prune", "100%", "--yes"]
    done = run(stage, *words)
    assert "Note: noarch/alpha:1.0-0 stays: nothing says when it was uploaded." in done.stdout
    done = run(stage, *words, "--previous", tmp_path / "old")
    assert "first seen 2020-09-13T12:26:40Z" in done.stdout
    assert stage.tags() == []


def test_what_could_not_go_is_named_and_exits_5(stage: Stage) -> None:
    stage.push(ALPHA)
    stage.rig.fake.knobs.deletes = False
    done = run(stage, "--unmarked-for", "24h", "--max-prune", "100%", "--yes")
    assert done.exit_code == 5
    assert "Failed: noarch/alpha:1.0-0@sha256:" in done.stdout
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Say --unmarked-for, --rejected-for, or both"),
        (["--unmarked-for", "1y"], "no duration: write 90m"),
        (["--rejected-for", "7"], "no duration"),
        (["--rejected-for", "-7d"], "no duration"),
        (["--unmarked-for", "1.5h"], "no duration"),
        (["--unmarked-for", "1d", "--max-prune", "lots"], "percentage"),
        (["--unmarked-for", "1d", "--max-prune", "101%"], "percentage"),
        (["--unmarked-for", "1d", "--policy", "none"], "nothing would ever be unmarked"),
        (["--unmarked-for", "1d", "--policy", "both"], "no key is trusted"),
        (["--unmarked-for", "1d", REF], "--restore alone"),
        (["--restore"], "name a REF"),
        (["--restore", REF, "--unmarked-for", "1d"], "goes without"),
        (["--restore", "noarch/alpha:1.0-0"], "names no manifest"),
        (["--restore", "alpha-1.0-0.conda@" + REF.partition("@")[2]], "names no manifest"),
        (["--restore", "noarch/alpha@sha256:12"], "no digest"),
        (["--restore", "noarch/a b@" + REF.partition("@")[2]], "can't be in a registry"),
    ],
    ids=str,
)
def test_wrong_usage_exits_2_and_says_what_is_right(
    stage: Stage, words: list[str], sentence: str
) -> None:
    done = run(stage, *words, "--yes")
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())
    assert stage.rig.fake.requests == []


def test_a_dry_run_stays_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.push(ALPHA)
    monkeypatch.setenv("CF_INDEX_DRY_RUN", "true")
    done = run(stage, "--unmarked-for", "24h", "--max-prune", "100%", "--yes")
    assert (done.exit_code, stage.tags()) == (0, ["1.0-0"])
    assert "Nothing was taken out" in done.stdout


@pytest.mark.parametrize("units", ["0m", "90m", "24h", "7d", "2w"])
def test_every_unit_of_time_is_understood(stage: Stage, units: str) -> None:
    stage.rig.fake.add_repository(FULL)
    assert run(stage, "--rejected-for", units).exit_code == 0


def test_other_registries_take_nothing_back(anywhere: Stage) -> None:
    done = run(anywhere, "--restore", REF, "--yes")
    assert done.exit_code == 3
    assert "can't be taken back" in done.stderr
