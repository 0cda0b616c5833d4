"""job.json and job.yaml: what a person writes down of a job, read and checked as a whole.

`types` says which keys there are, `source` reads files, `fitting` and `rules` find faults,
`reading` is the way in, and `making` turns what was read into jobs. Nothing here starts anything.
"""
