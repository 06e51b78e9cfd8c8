"""Measurements, each one command that prints a table and writes bench/results/<name>.json."""
