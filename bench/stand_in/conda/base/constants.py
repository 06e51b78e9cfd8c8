"""The subdirs that are looked for."""

PLATFORM_DIRECTORIES = ("noarch", "linux-64")
