"""Filling and reading a registry: push, mirror, pull, show, publish."""
