"""How a site looks by its configuration: all that goes into its files besides records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from indexer.config import Config
from indexer.registry.address import RegistryAddress
from indexer.render.history import SubdirEntry
from indexer.render.site_info import BlobAddresses, Installs, SiteInfo
from indexer.render.templates import templates_digest

# Goes up when the same records are written as other bytes.
RENDERING = 3


@dataclass(frozen=True, slots=True)
class Look:
    """All that goes into the files besides records.

    ``base_url`` is None where there is none. ``pages`` tells whether there are pages and an API,
    ``max_size`` how many bytes the site may have with them.
    """

    info: SiteInfo
    base_url: str | None
    pages: bool
    max_size: int

    def base_url_of(self, subdir: str) -> str | None:
        """The CEP 15 base_url of a subdir."""
        return None if self.base_url is None else f"{self.base_url.rstrip('/')}/{subdir}/"

    def of_subdir(self, subdir: str) -> str:
        """What a subdir's files were made with."""
        return f"{RENDERING} {self.base_url_of(subdir) or '-'}"

    def of_channel(self) -> str:
        """What the channel-wide files were made with."""
        text = f"{RENDERING} {self.info} {self.pages} {self.max_size} {templates_digest()}"
        return hashlib.sha256(text.encode()).hexdigest()


def is_of_this_version(entry: SubdirEntry | None) -> bool:
    """Whether a subdir's files were written as they are now, to whatever address they point."""
    return entry is not None and entry.rendering.partition(" ")[0] == str(RENDERING)


def look_of(config: Config) -> Look:
    """How the site looks by its configuration; where clients are told to find packages."""
    if config.base_url == "none":
        base_url = None
    elif config.base_url in {"auto", "oci"}:
        base_url = config.registry.client_url(config.channel)
    else:
        base_url = config.base_url
    info = SiteInfo(
        channel=config.channel,
        registry=str(config.registry),
        policy=str(config.policy),
        validated_only=config.policy.name != "none",
        site_url=config.site_url,
        installs=_installs(base_url),
        blobs=_blobs(config.registry, config.channel),
        gateway_url=config.gateway_url,
    )
    return Look(info, base_url, config.pages, config.max_site_size)


def _blobs(registry: RegistryAddress, channel: str) -> BlobAddresses | None:
    if not registry.host:
        return None
    place = registry.repository(channel)
    return BlobAddresses(f"oci://{registry.host}/{place}", f"{registry.origin}/v2/{place}")


def _installs(base_url: str | None) -> Installs:
    if base_url is None:
        return "none"
    return "oci" if base_url.startswith("oci://") else "https"
