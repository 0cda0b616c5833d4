"""Tests of the pure planners."""
