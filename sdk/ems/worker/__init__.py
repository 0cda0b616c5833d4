"""The worker: fetch, verify, run, report and publish at a place. Plain Python 3.8."""
