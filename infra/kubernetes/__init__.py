"""The clusters' own program: all that goes through the Kubernetes API, after the environment's."""
