"""Floor 2b: what a bucket is worth, what it needs, what is closed, and who bears a loss; pure."""
