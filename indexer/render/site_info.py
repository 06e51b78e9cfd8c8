"""What the pages and the API say of the channel besides its packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from indexer.channel import codec

Installs = Literal["oci", "https", "none"]

# Where neither --site-url nor --gateway-url says: of this site, or of what stands in front of it.
_UNKNOWN_SITE = "https://ADDRESS-OF-THIS-SITE"
_UNKNOWN_GATEWAY = "https://ADDRESS-OF-THE-GATEWAY"


@dataclass(frozen=True, slots=True)
class BlobAddresses:
    """Where blobs are, up to the subdir: by the registry's name and by its HTTP API.

    As in ``oci://ghcr.io/acme/forge`` and ``https://ghcr.io/v2/acme/forge``.
    """

    oci: str
    https: str

    def of(self, subdir: str, name: str, sha256: str) -> tuple[str, str]:
        """Both addresses of a package's archive (OCI distribution specification 1.1, "Blobs").

        ``subdir`` and ``sha256`` may be placeholders.
        """
        place = f"{subdir}/{codec.repository_name(name)}"
        return (
            f"{self.oci}/{place}@sha256:{sha256}",
            f"{self.https}/{place}/blobs/sha256:{sha256}",
        )


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """What is said of a channel.

    ``installs`` tells by which way clients get packages: ``oci``, ``https`` or ``none``.
    ``site_url`` is empty where the site's address isn't known, ``gateway_url`` where no gateway
    is known that answers for the index and its packages; ``blobs`` is None where the registry has
    no address that others could follow.
    """

    channel: str
    registry: str
    policy: str
    validated_only: bool
    site_url: str
    installs: Installs
    blobs: BlobAddresses | None = None
    gateway_url: str = ""

    @property
    def site(self) -> str:
        """The address of the site's files; a gateway has them, too."""
        return self._first(self.site_url, self.gateway_url)

    @property
    def channel_for_pixi(self) -> str:
        """The channel's address as pixi's commands have it."""
        # Beside the index there are packages at the gateway alone, whatever the site's address is.
        return self.channel_for_conda if self.installs == "none" else self.site

    @property
    def channel_for_conda(self) -> str:
        """The channel's address as commands of conda and mamba have it."""
        return self._first(self.gateway_url, self.site_url)

    @property
    def serves_conda(self) -> bool:
        """Whether conda and mamba can install from this channel."""
        return self.installs != "oci" or bool(self.gateway_url)

    def absolute(self, path: str) -> str:
        """The whole address of a path of the site; empty where it isn't known."""
        return f"{self.site_url.rstrip('/')}/{path}" if self.site_url else ""

    def install_commands(self, name: str) -> list[tuple[str, str]]:
        """How a package is installed: by which clients, and the commands."""
        pixi = f"pixi workspace channel add {self.channel_for_pixi}\npixi add {name}"
        return [("pixi", pixi), *self.conda_commands(name)]

    def conda_commands(self, name: str) -> list[tuple[str, str]]:
        """The same for conda and mamba; empty where they can't install."""
        if not self.serves_conda:
            return []
        options = f"--override-channels --channel {self.channel_for_conda}"
        return [(client, f"{client} install {options} {name}") for client in ("conda", "mamba")]

    def _first(self, *addresses: str) -> str:
        """The first address that is known, without a slash at its end; or what stands for it."""
        unknown = _UNKNOWN_GATEWAY if self.installs == "none" else _UNKNOWN_SITE
        return next((found.rstrip("/") for found in addresses if found), unknown)
