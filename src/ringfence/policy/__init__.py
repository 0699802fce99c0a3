"""Floor 1: the policy language: model, parse, check, show, diff."""
