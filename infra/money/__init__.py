"""What an environment costs, and who is told: alarms, the budget, what costs while nothing runs."""
