"""Kubernetes manifests as the declared state of a host, compared with what runs there."""
