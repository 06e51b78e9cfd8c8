"""The tests of cf-index."""
