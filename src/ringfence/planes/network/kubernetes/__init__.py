"""Kubernetes manifests: read them, say who can talk to whom, explain it, compare two versions of them."""
