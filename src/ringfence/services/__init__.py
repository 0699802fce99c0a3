"""Floor 4: the running services; what they need of the outside is stated in ports."""
