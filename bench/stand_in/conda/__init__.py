"""What conda-index 0.13 imports of conda, which isn't on PyPI: two names.

It doesn't require conda in its metadata, and what is measured here calls nothing of it.
"""
