"""Slurm clusters: jobs are handed over by sbatch and followed by squeue, on or from a login node.

Works with and without accounting. `scheduler.py` says which files a job has beside the site's.
"""
