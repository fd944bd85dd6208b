-- about: Cars
-- question: Which cars in inventory were given another price, when, and by how much? (vehicles with history = true)
SELECT vehicle_id, make, model, (since AT TIME ZONE 'Europe/Amsterdam')::date AS since, yard_price, change
FROM (
  SELECT vehicle_id, make, model, valid_from AS since, yard_price,
         yard_price - lag(yard_price) OVER (PARTITION BY source, vehicle_id ORDER BY valid_from) AS change
  FROM reporting.vehicles_history
  WHERE state = 'inventory'
) AS prices
WHERE change <> 0
ORDER BY since DESC, vehicle_id
LIMIT 10;
