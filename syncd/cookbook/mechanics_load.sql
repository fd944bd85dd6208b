-- about: Shops
-- question: How full is each mechanic in the next two weeks?
SELECT store_name, mechanic, sum(capacity_minutes) AS capacity_minutes, sum(scheduled_minutes) AS scheduled_minutes,
       sum(available_minutes) AS available_minutes,
       round(100.0 * sum(scheduled_minutes) / nullif(sum(capacity_minutes), 0), 1) AS load_percent
FROM reporting.workshop_mechanics
WHERE day >= (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date
  AND day < (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date + 14
GROUP BY store_name, mechanic_id, mechanic
ORDER BY load_percent DESC NULLS LAST, store_name, mechanic
LIMIT 10;
