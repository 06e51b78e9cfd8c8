"""``python -m indexer`` is ``cf-index``."""

from indexer.cli import main

main()
