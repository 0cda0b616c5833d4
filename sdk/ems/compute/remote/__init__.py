"""Places that are reached from here: a `Site` holds files there, a `Scheduler` starts jobs there.

`SpoolBackend` makes a backend of the two: it ships parcels, follows messages and output, fetches
results and decides how a job ended, once for all kinds of places. Schedulers hold commands, calls
and parsers alone; sites hold bytes.
"""
