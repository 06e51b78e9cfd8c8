"""``cf-index`` as of another registry, which one on this machine answers for.

``python -m bench.elsewhere ADDRESS ...``: ``ADDRESS`` is asked, whatever ``--registry`` says. What
is published has the address of the other: its length counts where a site's size is measured.
"""

from __future__ import annotations

import sys
from unittest import mock

from indexer.cli import main as cf_index
from indexer.rebuild import pipeline
from indexer.registry import Registry, RegistryAddress, Transport, open_registry


def main() -> None:
    here = RegistryAddress.parse(sys.argv.pop(1))

    def opened(_: RegistryAddress, transport: Transport) -> Registry:
        return open_registry(here, transport)

    with mock.patch.object(pipeline, "open_registry", opened):
        cf_index()


if __name__ == "__main__":
    main()
