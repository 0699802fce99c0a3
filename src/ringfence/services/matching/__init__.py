"""The order matching engine: who trades with whom, at which price, in which order; nothing about money."""
