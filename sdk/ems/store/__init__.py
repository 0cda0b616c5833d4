"""The store: objects by digest, the log of what was claimed and recorded, leases, the index.

Knows nothing of tasks, graphs or backends. Import what you need from its modules; the front door
is `ems.store.store.Store`.
"""
