"""IAM policies as plain documents: what each role may do, and who may take it.

Pure: statements in, JSON text out; ARNs come as arguments. `documents.py` is the form, `jobs.py`
what runs at a site, `submit.py` who submits there, `deploy.py` who deploys. Knows no Pulumi.
"""
