"""The job API: plain jobs, written down in the store and handed to places that run them.

`calls` has what `import ems` offers; `jobs.Jobs` is the same for one store and one backend.
"""
