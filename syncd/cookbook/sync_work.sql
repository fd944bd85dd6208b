-- about: The mirror itself
-- question: What did syncing cost in the last week, and what did it bring?
SELECT source, count(*) AS runs, count(*) FILTER (WHERE outcome IN ('failed', 'throttled')) AS failed,
       sum(requests) AS requests, sum(rows_inserted) AS new, sum(rows_updated) AS changed, sum(rows_deleted) AS gone
FROM reporting.sync_history
WHERE started_at >= reporting.now() - interval '7 days'
GROUP BY source
ORDER BY source;
