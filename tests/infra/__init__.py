"""Tests of the environment's programs."""
