"""Margin rules of venues, one file each, where they differ from the brackets of a policy.

They answer what the venue itself would say of the same position, for comparison and for conformance with
published numbers. Binance, Gate and OKX need no file: `price_range` on a bucket with their brackets and their
fee is their formula.
"""
