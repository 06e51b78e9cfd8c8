"""A conda channel as a source: a site of ours, and packages in the registry it was made from."""
