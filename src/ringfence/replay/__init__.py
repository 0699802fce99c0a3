"""Floor 3: what would have happened under other walls; pure."""
