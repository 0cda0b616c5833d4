"""The sky on this machine: moto, the Pulumi engine and the environment `sandbox`, in one folder.

    python -m tests.rigs.sandbox up | status | env | down      (make sandbox, sandbox-env, …)

`place.py` says what lies where, `parts.py` starts and ends processes, `server.py` is moto's server
with `jobs.py` in it, `deploying.py` runs the engine, `surroundings.py` is what a shell needs to be
inside. All state lies in one folder, so two checkouts have two skies. What is true in it and
what is not stands in docs/how-to/sandbox.md.
"""
