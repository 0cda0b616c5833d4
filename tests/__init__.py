"""Tests mirror the tree: tests/store/test_log.py is about sdk/ems/store/log.py."""
