"""Hosts without a scheduler: robots, workstations, this machine. Reached over ssh; nothing of ours
runs there but the jobs and who looks after each of them."""
