"""What signed verdicts cost: 10,000 of them opened, and runs with them beside one without.

``python -m bench.verdicts``. "Opened" is an envelope understood, its signature verified and its
statement read, in one thread; signed by the last of the keys that are trusted, which the envelope
names, or by that and without a name. The runs are ``cf-index rebuild`` of 10,000 packages in 250
repositories, from a docker-registry on loopback that shares this machine's processors: without
verdicts; with one verdict a package, from nothing; and once more, when nothing is new. "processor"
is seconds of ours, without the registry's; "us a verdict" is microseconds of these. "reading"
and "longest of the rest" are stages of the run's status.json; "manifests" is how many were asked
for.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson

from bench.measuring import measure, write
from bench.packages import SUBDIR, Artifact, channel, store
from bench.storage import Storage
from indexer.channel.artifact import archive_layers
from indexer.registry import Registry
from indexer.registry.content import (
    OCI_MANIFEST,
    Content,
    ImageManifest,
    RawManifest,
    parse_manifest,
)
from indexer.trust.envelope import open_envelope, sign
from indexer.trust.keys import KeyFile, Keyring, load_keyring, load_signer, make_key_pair
from indexer.trust.storage import put_verdict, verdict_tag
from indexer.trust.verdict import Verdict
from tests.support import registry_process
from tests.support.registry_process import RegistryProcess

NAMES, BUILDS = 250, 40
KEYS = 4
ROUNDS = 3
JOBS = 16
NAMESPACE, CHANNEL = "acme", "forge"
VALIDATED_AT = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shelves:
    """Writes verdicts onto a registry's disk, for what writes them into a registry."""

    storage: Storage

    def put_blob(self, repository: str, content: Content) -> None:
        """Both of a verdict's blobs stand in its manifest: nobody asks for them."""

    def put_manifest(self, repository: str, reference: str, body: bytes, media_type: str) -> None:
        """Store it."""
        del media_type
        self.storage.put(repository, reference, body, {})


def make_keys(folder: Path) -> list[KeyFile]:
    """Key pairs, of which the last one signs."""
    for number in range(KEYS):
        make_key_pair(folder / f"{number}.pem", folder / f"{number}.pub")
    return [KeyFile(path=folder / f"{number}.pub") for number in range(KEYS)]


def verdict_on(artifact: Artifact, image: ImageManifest) -> Verdict:
    """That a package is validated."""
    (archive,) = archive_layers(image)
    return Verdict(
        subdir=SUBDIR,
        file_name=archive.title or "",
        archive=archive.digest,
        index_json=artifact.index_json,
        passed=True,
        time=VALIDATED_AT,
        verifier="urn:bench:validator",
        policy="urn:bench:policy",
    )


def fill(storage: Storage, names: int, builds: int, key: Path) -> list[bytes]:
    """Packages with a verdict each; gives the envelopes."""
    registry, signer = cast("Registry", Shelves(storage)), load_signer(key)
    envelopes = []
    place = f"{NAMESPACE}/{CHANNEL}/{SUBDIR}"
    for artifact in channel(names, builds, embedded=True):
        store(storage, place, artifact)
        raw = RawManifest(artifact.manifest, OCI_MANIFEST)
        image = cast("ImageManifest", parse_manifest(raw))
        verdict = verdict_on(artifact, image)
        envelope = sign(verdict, signer)
        tag = verdict_tag(verdict.archive, envelope)
        put_verdict(registry, f"{place}/{artifact.name}", tag, envelope, raw)
        envelopes.append(envelope)
    return envelopes


def opened(what: str, envelopes: Sequence[bytes], keyring: Keyring) -> dict[str, Any]:
    """How long it takes to open all of them."""
    turns = []
    for _ in range(ROUNDS):
        start, worked = time.perf_counter(), time.process_time()
        for envelope in envelopes:
            open_envelope(envelope, keyring)
        turns.append((time.perf_counter() - start, time.process_time() - worked))
    seconds, processor = map(statistics.median, zip(*turns, strict=True))
    return {
        "what": what,
        "seconds": seconds,
        "processor": processor,
        "us a verdict": processor / len(envelopes) * 1e6,
        "reading": "-",
        "longest of the rest": "-",
        "manifests": "-",
    }


def nameless(envelope: bytes) -> bytes:
    """The same, without the key's id, which DSSE lets out: every key has to be tried."""
    document = orjson.loads(envelope)
    for signature in document["signatures"]:
        signature["keyid"] = ""
    return orjson.dumps(document)


def run(what: str, registry: RegistryProcess, folder: Path, *options: str) -> dict[str, Any]:
    """One rebuild into a folder, which keeps state and site."""
    where = ["--registry", f"oci+{registry.http}/{NAMESPACE}", "--channel", CHANNEL]
    kept = ["--output", str(folder / "site"), "--state", str(folder / "state")]
    command = [sys.executable, "-m", "indexer", "rebuild", *where, *kept, "--jobs", str(JOBS)]
    found = measure([*command, *options])
    status: dict[str, Any] = json.loads((folder / "site/status.json").read_text())
    durations: dict[str, float] = status["durations"]
    stage, longest = max(
        ((name, took) for name, took in durations.items() if name != "reading"),
        key=lambda item: item[1],
    )
    return {
        "what": what,
        "seconds": found.seconds,
        "processor": found.processor,
        "us a verdict": "-",
        "reading": durations["reading"],
        "longest of the rest": f"{stage} {longest:.2f}",
        "manifests": status["requests"].get("manifests", 0),
    }


def measured(scratch: Path, names: int, builds: int) -> list[dict[str, Any]]:
    """The table, of so many packages."""
    files = make_keys(scratch)
    envelopes = fill(Storage(scratch / "registry/data"), names, builds, scratch / f"{KEYS - 1}.pem")
    one, several = load_keyring(files[-1:]), load_keyring(files)
    count = f"{names * builds:,}"
    rows = [
        opened(f"{count} opened, one key", envelopes, one),
        opened(f"{count} opened, {KEYS} keys", envelopes, several),
        opened(f"{count} opened, {KEYS} keys, none named", [*map(nameless, envelopes)], several),
    ]
    with RegistryProcess(scratch / "registry") as registry:
        # What the system's page cache holds is the same for all who come after.
        run("", registry, scratch / "warm", "--policy", "none")
        rows.append(run("run without verdicts", registry, scratch / "none", "--policy", "none"))
        asking = ["--policy", "attestation", "--trust", str(files[-1].path)]
        rows.append(run("run with verdicts", registry, scratch / "asking", *asking))
        rows.append(run("the same, nothing new", registry, scratch / "asking", *asking))
    return rows


def main() -> None:
    if reason := registry_process.missing_reason():
        sys.exit(f"Nothing can be measured: {reason}.")
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(Path(scratch), NAMES, BUILDS)
    share = rows[0]["processor"] / rows[-2]["processor"]
    note = f"Opening takes {share:.0%} of the processor time of a run that reads all of them."
    write("verdicts", rows, [note])


if __name__ == "__main__":
    main()
