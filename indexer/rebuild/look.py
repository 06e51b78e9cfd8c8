"""How a site looks by its configuration: all that goes into its files besides records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from indexer.config import Config
from indexer.render import pages

# Goes up when the same records are written as other bytes.
RENDERING = 2


@dataclass(frozen=True, slots=True)
class Look:
    """All that goes into the files besides records. ``base_urls`` is None where there is none."""

    info: pages.SiteInfo
    base_url: str | None

    def base_url_of(self, subdir: str) -> str | None:
        """The CEP 15 base_url of a subdir."""
        return None if self.base_url is None else f"{self.base_url.rstrip('/')}/{subdir}/"

    def of_subdir(self, subdir: str) -> str:
        """What a subdir's files were made with."""
        return f"{RENDERING} {self.base_url_of(subdir) or '-'}"

    def of_channel(self) -> str:
        """What the channel-wide files were made with."""
        text = f"{RENDERING} {self.info} {pages.templates_digest()}"
        return hashlib.sha256(text.encode()).hexdigest()


def look_of(config: Config) -> Look:
    """How the site looks by its configuration; where clients are told to find packages."""
    if config.base_url == "none":
        base_url = None
    elif config.base_url in {"auto", "oci"}:
        base_url = config.registry.client_url(config.channel)
    else:
        base_url = config.base_url
    info = pages.SiteInfo(
        channel=config.channel,
        registry=str(config.registry),
        policy=str(config.policy),
        validated_only=config.policy.name != "none",
        site_url=config.site_url,
        installs=_installs(base_url),
    )
    return Look(info, base_url)


def _installs(base_url: str | None) -> pages.Installs:
    if base_url is None:
        return "none"
    return "oci" if base_url.startswith("oci://") else "https"
