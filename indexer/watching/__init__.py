"""Looks at a published site from outside: whether it is fresh, whole, and of the right run."""
