-- about: Shops
-- question: Which services are due this month and not planned yet, and whom do we call?
SELECT due_on, store_name, title, object, customer_name, phone
FROM reporting.service_due
WHERE due_on >= date_trunc('month', reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date
  AND due_on < (date_trunc('month', reporting.now() AT TIME ZONE 'Europe/Amsterdam') + interval '1 month')::date
  AND NOT is_scheduled
ORDER BY due_on, service_item_id
LIMIT 10;
