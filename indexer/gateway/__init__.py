"""``serve``: plain file names, over HTTP, for what lies in a registry under digests."""
