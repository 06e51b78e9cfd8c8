"""Reading registries: what they may do to us, and what we must never do to them."""
