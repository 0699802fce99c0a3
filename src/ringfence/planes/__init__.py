"""Floor 2a: the three planes that enforce the policy; independent of each other, and pure."""
