"""A state that has read all of a generated channel, made without asking anybody."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bench.generated import CHANNEL, SUBDIR, Generated
from indexer.channel.artifact import Place
from indexer.channel.policy import DEFAULT_POLICY
from indexer.fetching import Fetcher
from indexer.rebuild.pipeline import RULES
from indexer.rebuild.state_file import Identity, open_state
from indexer.registry.address import RegistryAddress
from indexer.registry.base import Registry
from indexer.registry.content import OCI_MANIFEST, RawManifest


def fill(folder: Path, generated: Generated, registry: str) -> None:
    """Put into ``folder`` what a run against ``registry`` would remember."""
    address = RegistryAddress.parse(registry)
    policy = DEFAULT_POLICY
    identity = Identity(str(address), CHANNEL, f"{RULES}; {policy}")
    start = f"{address.repository(CHANNEL, SUBDIR)}/"

    def manifest(repository: str, reference: str) -> RawManifest:
        body = generated.manifest(repository.removeprefix(start), reference)
        return RawManifest(body, OCI_MANIFEST)

    now = int(time.time())
    asked: Any = SimpleNamespace(address=address, manifest=manifest)
    fetcher = Fetcher(cast("Registry", asked), CHANNEL, policy, now)
    with open_state(folder, identity) as (state, _):
        for repository in generated.repositories():
            for tag in generated.tags(repository):
                place = Place(SUBDIR, repository, tag)
                outcome = fetcher.fetch(place, ())
                assert outcome.digest is not None and outcome.reading.records, outcome  # noqa: S101, PT018
                state.put(place, outcome.digest, outcome.status, outcome.reading, now)
            state.commit()
