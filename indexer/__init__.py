"""cf-index: a conda channel's index, made from the OCI registry that holds its packages."""

__version__ = "0.1.0"
