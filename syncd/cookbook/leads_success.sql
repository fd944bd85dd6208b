-- about: Shops
-- question: Which kinds of leads end in success?
SELECT lead_type, count(*) AS leads, count(*) FILTER (WHERE is_open) AS open,
       count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
       round(100.0 * count(*) FILTER (WHERE status = 'succeeded') / nullif(count(*) FILTER (WHERE NOT is_open), 0), 1)
         AS percent_of_closed
FROM reporting.leads
GROUP BY lead_type
ORDER BY leads DESC, lead_type;
