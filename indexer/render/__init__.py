"""Records to files, and the same formats read back. Never asks a registry, never sees the state."""
