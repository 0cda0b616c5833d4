"""Tests of infra/access."""
