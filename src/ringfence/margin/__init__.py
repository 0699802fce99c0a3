"""Floor 2b: what a bucket is worth, what it needs, when it is closed and who bears a loss. Pure."""
