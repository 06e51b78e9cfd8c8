"""A channel whose index takes signed verdicts alone, behind any registry; and who attacks it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from demo.layers import Image, digest_of, package_manifest
from demo.packages import Package
from indexer.channel.artifact import Place, place_of
from indexer.channel.policy import Policy
from indexer.rebuild.report import Report
from indexer.registry import RegistryAddress
from indexer.registry.content import Digest
from indexer.trust.storage import VerdictTag, verdict_tag
from tests.support.push import delete_manifest, push_image
from tests.support.rig import Rig
from tests.support.validator import Validator, put_beside, verdict_of

VALIDATED = {"org.conda-forge.status": "validated"}


@dataclass
class Gate:
    """Pushes, verdicts and rebuilds. Everything is pushed by whoever may push anything."""

    rig: Rig
    http: str
    channel: str
    validator: Validator
    stranger: Validator

    @property
    def address(self) -> RegistryAddress:
        return RegistryAddress.parse(f"oci+{self.http}/acme")

    def full_name(self, place: Place) -> str:
        return self.address.repository(self.channel, place.subdir, place.repository)

    def push(
        self, *packages: Package, annotations: Mapping[str, str] | None = None, **where: Any
    ) -> str:
        """Push archives of one build, by default where they belong; gives the digest."""
        return self.put(package_manifest(packages, annotations=annotations), packages[-1], **where)

    def put(self, image: Image, package: Package, **where: Any) -> str:
        """Push an image where a package belongs, or with another subdir, repository or tag."""
        place = dataclasses.replace(place_of(package.subdir, package.file_name), **where)
        return push_image(self.http, self.full_name(place), image, tag=place.tag)

    def validate(self, package: Package, **changes: Any) -> VerdictTag:
        """What the validator says of a package."""
        return self.validator.say(self.address, self.channel, package, **changes)

    def reject(self, package: Package, **changes: Any) -> VerdictTag:
        """The validator says no."""
        return self.validate(package, passed=False, **changes)

    def replay(
        self, package: Package, envelope: bytes, archive: str | None = None, **where: Any
    ) -> VerdictTag:
        """Put an envelope beside a package, as a verdict on this archive (by default, its own)."""
        place = dataclasses.replace(place_of(package.subdir, package.file_name), **where)
        tag = verdict_tag(Digest(archive or package.sha256), envelope)
        return put_beside(self.address, self.channel, package, envelope, place=place, tag=tag)

    def envelope(self, package: Package, **changes: Any) -> bytes:
        """A genuine verdict, as anybody can read it from the registry."""
        return self.validator.sign(verdict_of(package, **changes))

    def remove_verdict(self, package: Package, tag: VerdictTag) -> None:
        """Delete a verdict from the registry, as somebody with the right to would."""

        full_name = self.full_name(place_of(package.subdir, package.file_name))
        url = f"{self.http}/v2/{full_name}/manifests/{tag}"
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        found = requests.get(url, headers=accept, timeout=10)
        delete_manifest(self.http, full_name, digest_of(found.content))

    def rebuild(self, **changes: Any) -> Report:
        settings: dict[str, Any] = {
            "registry": self.address,
            "channel": self.channel,
            "policy": Policy("attestation"),
            "trust": (self.validator.file,),
        }
        return self.rig.rebuild(**(settings | changes))

    def indexed(self, subdir: str = "noarch") -> dict[str, str]:
        """What the published index has, with its sha256; the two forms of it agree."""
        self.rig.assert_sound()
        return {name: fields["sha256"] for name, fields in self.rig.records(subdir).items()}


def swapped(image: Image, old: Package, new: Package) -> Image:
    """An image that keeps one package's archive and has another one's index.json beside it."""
    document = json.loads(image.manifest)
    for layer in document["layers"]:
        if layer["digest"] == digest_of(old.index_json):
            layer["digest"], layer["size"] = digest_of(new.index_json), len(new.index_json)
    blobs = dict(image.blobs) | {digest_of(new.index_json): new.index_json}
    return dataclasses.replace(image, manifest=json.dumps(document).encode(), blobs=blobs)


def told(report: Report) -> str:
    """All that a report says of what isn't let in, as one text."""
    items = [*report.left_out, *report.rejected]
    return "\n".join(f"{i.repository}:{i.tag} {i.file_name}: {i.reason}" for i in items)
