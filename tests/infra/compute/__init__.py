"""Tests of infra/compute."""
