"""Tests of what goes through the Kubernetes API of a cluster."""
