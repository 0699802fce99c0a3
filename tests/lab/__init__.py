"""Tests that run inside namespaces of their own; tests/end_to_end/test_lab.py starts them there."""
