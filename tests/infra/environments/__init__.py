"""Whole environments on the real engine."""
