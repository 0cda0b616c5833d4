"""Tests of infra/account."""
