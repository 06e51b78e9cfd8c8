"""A loaded machine must not fail a property that holds: no time limit for a single example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
