-- about: The mirror itself
-- question: How fresh is each source, and does any stream fail?
SELECT source, count(*) AS streams, min(as_of) AS as_of, max(lag) AS longest_lag,
       count(*) FILTER (WHERE last_outcome <> 'ok') AS failing
FROM reporting.freshness
GROUP BY source
ORDER BY source;
