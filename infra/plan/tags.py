"""The tag that tells an environment's things from another's, for programs and planners. Pure."""

ENVIRONMENT_TAG = "ems-environment"
"""Everything carries it with the environment's name, and so does every job: by it, costs are told
apart, and a researcher of one environment can't end the jobs of another."""
