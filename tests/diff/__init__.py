"""Tests of the comparison of two channels."""
