"""Many processes that share the accounts: which worker runs which of them, and what happens when one is lost.

placement   which shard an account is in, and which worker a shard belongs to; pure
workers     the rows of syncd.workers: joining, beating, being declared lost
queue       the jobs of PgQueuer, one for each shard; nothing else imports pgqueuer
duties      stepping in for workers that are lost, and what one does once for all
membership  one life of a worker among the others
"""
