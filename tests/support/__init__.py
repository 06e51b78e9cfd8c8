"""What the tests stand on: registries to read from, faults to meet, and ways to fill both."""
