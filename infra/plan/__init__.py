"""Pure planners: what shall be, worked out without Pulumi and without AWS."""
