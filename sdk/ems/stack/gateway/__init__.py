"""A lab gateway's configuration, written from what an environment exports."""
