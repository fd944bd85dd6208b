-- about: Cars
-- question: Which cars in inventory are damaged or had an accident?
SELECT vehicle_id, make, model, is_damaged, had_accident, dealer_price, days_in_stock
FROM reporting.vehicle_inventory
WHERE is_damaged OR had_accident
ORDER BY dealer_price DESC, vehicle_id;
