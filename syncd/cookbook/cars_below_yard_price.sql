-- about: Cars
-- question: In which cars lies the most between the price for dealers and the price on the yard?
SELECT vehicle_id, make, model, dealer_price, yard_price, yard_price - dealer_price AS margin
FROM reporting.vehicle_inventory
WHERE yard_price > dealer_price
ORDER BY margin DESC, vehicle_id
LIMIT 10;
