"""What a repository needs to publish a channel: its settings and its workflow."""
