"""Floor 3: what can cross a wall, ever, and what falls if this falls; pure."""
