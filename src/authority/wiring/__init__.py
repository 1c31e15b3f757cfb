"""The wiring of each area beside the budgets: a file for each, which bootstrap and core join."""
