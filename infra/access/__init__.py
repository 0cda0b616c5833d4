"""Who may use what: the policies and the role of those who submit jobs."""
