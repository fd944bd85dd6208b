-- about: Shops
-- question: How full is each workshop in the next two weeks?
SELECT day, store_name, capacity_minutes, scheduled_minutes, available_minutes, load_percent
FROM reporting.workshop_days
WHERE day >= (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date
  AND day < (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date + 14 AND NOT is_closed
ORDER BY day, store_name
LIMIT 14;
