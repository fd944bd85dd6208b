-- about: Cars
-- question: Which cars are longest in inventory?
SELECT vehicle_id, make, model, kilometers, dealer_price, added_at, days_in_stock
FROM reporting.vehicle_inventory
ORDER BY added_at, vehicle_id
LIMIT 10;
