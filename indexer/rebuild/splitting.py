"""Which subdirs there are, so that a scheduler can have each of them read by a job of its own."""

from __future__ import annotations

from indexer.config import Config
from indexer.rebuild.beginning import Beginning
from indexer.rebuild.naming import Names, read_names_file
from indexer.rebuild.run import Run
from indexer.registry import Transport, open_registry


def find_subdirs(config: Config, run: Run) -> list[str]:
    """The subdirs that a rebuild with this configuration reads, in order.

    Raises ConfigError, and RegistryError where neither the registry nor the site can be asked.
    """
    lines = read_names_file(config.names)
    transport = Transport(jobs=config.jobs, retry_for=config.retry_for)
    try:
        registry = open_registry(config.registry, transport)
        names = Names(config, registry, transport, run.environ, lines, run.apis)
        previous = Beginning(config, config.output.absolute(), transport).look()
        return names.subdirs(previous)
    finally:
        transport.close()
