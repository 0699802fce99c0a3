"""The ledger plane: the rule of every movement, its batch twin, and the journal that can be replayed."""
