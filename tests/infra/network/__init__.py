"""Tests of a site's network and of what joins it."""
