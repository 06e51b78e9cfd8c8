"""Signed verdicts: keys, what a verdict says, how it is signed and stored, and what it decides."""
