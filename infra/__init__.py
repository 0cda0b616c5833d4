"""The environment's program: what is made in AWS, from settings to typed outputs."""
