"""How a stream's pages reach the mirror: one run from the lock to the last page.

`syncer.Syncer` is the way in; `order` holds what it takes and what it gives: Order, Result, Progress.
"""
