"""The first hour on AWS: an environment up, one job, a look, and down again, with what it cost.

    python -m infra.first_hour --account 111122223333

For an owner with an account, since no test of the project runs against AWS. `__main__.py` has the
order of the steps, `job.py` the job, `left.py` what is still there, `cost.py` the bill.
"""
