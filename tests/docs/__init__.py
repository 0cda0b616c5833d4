"""What README and docs/ say is run here: commands, code, links, and the reference's freshness."""
