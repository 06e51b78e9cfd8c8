"""Runs a workflow of GitHub Actions on this machine, with stand-ins for what GitHub does.

What the harness doesn't know (a key, an action, a function) ends the test: passed over in silence,
it would be tested by nobody.
"""
