"""One verdict's tag, asked for and understood."""

from __future__ import annotations

from indexer.errors import ContentError, NotFoundError
from indexer.registry.base import Registry
from indexer.trust.envelope import open_envelope
from indexer.trust.judging import Held, check_place
from indexer.trust.keys import Keyring
from indexer.trust.storage import OddVerdictError, VerdictTag, fetch_envelope


class LostVerdictError(ContentError):
    """What a verdict's tag names is gone or broken on the way, and may be there next time."""


def read_verdict(
    registry: Registry,
    full_name: str,
    subdir: str,
    repository: str,
    tag: VerdictTag,
    keyring: Keyring,
) -> Held:
    """A verdict that counts. ``full_name`` is the repository's name in the registry.

    Raises ContentError where it counts for nothing, with the reason; LostVerdictError where it
    can't be had, OddVerdictError where something else is; RegistryError where the registry doesn't
    answer.
    """
    try:
        envelope = fetch_envelope(registry, full_name, tag)
    except OddVerdictError:
        raise
    except (NotFoundError, ContentError) as error:
        raise LostVerdictError(str(error)) from error
    signed = open_envelope(envelope, keyring)
    check_place(signed.verdict, tag, subdir, repository)
    return Held(signed.verdict, signed.key_id, str(tag))
