"""A small conda channel made of real packages, for the demonstration and for the tests."""
