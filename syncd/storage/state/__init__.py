"""The tables of schema `syncd` that runs write: runs and cursors, rejects and drift, the forgotten; and what gets old.

Other rooms keep the rest of the schema: `mirror` the seen keys and the change feed, `upstream` the budgets, `service`
the callbacks. Knows no table of the mirror but by name.
"""
