"""Vehicles of the dealer's stock: their table, and the request that confirms one of them."""

from typing import Any, Final
from urllib.parse import quote

from syncd.contract import (
    ALIVE,
    BIGINT,
    BOOLEAN,
    DATE,
    NUMERIC,
    TEXT,
    Index,
    Kind,
    Stream,
    Table,
    Walk,
    camel_column,
)
from syncd.contract.errors import BadRequest, NotFound
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.records.readers import envelope
from syncd.sources.autengo.api import SCHEMA, choice_columns, inner_object
from syncd.sources.autengo.by_value import walk_by_value

_PER_100_KM = "; unit not documented, by its values"

VEHICLES: Final = Table(
    schema=SCHEMA,
    name="vehicles",
    key=("selling_id",),
    comment="Vehicles of the dealer's stock, incoming and sold ones included (GET /vehicle)",
    personal=("vin",),
    columns=(
        camel_column("sellingId", TEXT, "Autengo's id of the vehicle, e.g. AIQWXW"),
        camel_column("internalId", TEXT, "The dealer's own id of the vehicle"),
        camel_column("branchId", BIGINT, "Id of the branch to which the vehicle belongs"),
        camel_column("makeName", TEXT, "Make, in words; the list gives no make id (see autengo.makes)"),
        camel_column("modelName", TEXT, "Model, in words"),
        camel_column("modelVersion", TEXT, "Version of the model, e.g. GTI 1.6"),
        camel_column(
            "sourceType", TEXT, "Where it came from: repurchased, trade-in, factoryCar, leasingReturn; not translated"
        ),
        *choice_columns("vehicleState", TEXT, "Where it is in the trade: incoming, inventory or sold"),
        camel_column("description", TEXT, "Free text of the dealer; may hold HTML"),
        camel_column("firstRegistration", DATE, "Day of the first registration"),
        camel_column("kilometers", NUMERIC, "Mileage in kilometres"),
        *choice_columns("vehicleTypeId", BIGINT, "Body type, a number of 1 to 10 (6: saloon)"),
        *choice_columns(
            "climatisationType", TEXT, "none, airConditioning, automaticClimateControl, …Control2, …3 or …4 (zones)"
        ),
        *choice_columns("conditionType", TEXT, "new, used, employeesCar, classic, demonstration or dayRegistration"),
        camel_column("vin", TEXT, "Vehicle identification number"),
        camel_column("powerKw", NUMERIC, "Power in kW"),
        camel_column("cubicCapacity", NUMERIC, "Displacement in cm³"),
        camel_column("doorCount", NUMERIC, "Number of doors"),
        camel_column("seatCount", NUMERIC, "Number of seats"),
        *choice_columns("pollutionBadge", NUMERIC, "German emission badge, a number of 1 to 5 (4: green)"),
        *choice_columns("emissionClass", NUMERIC, "Emission class, a number of 1 to 10 (9: Euro 6d-Temp)"),
        *choice_columns("colorId", BIGINT, "Colour, a number of 1 to 14 (7: blue)"),
        camel_column("manufacturerColorName", TEXT, "The manufacturer's name of the colour"),
        camel_column("isMetallicColor", BOOLEAN, "Whether the paint is metallic"),
        *choice_columns("airbagType", TEXT, "driverAirbag, frontAirbag, driverSideAirbag or driverSideOtherAirbag"),
        *choice_columns("interiorType", TEXT, "alcantara, cloth, fullLeather, partialLeather, velour or other"),
        *choice_columns("interiorColorId", BIGINT, "Colour of the interior, a number of 1 to 14 (3: beige)"),
        *choice_columns(
            "fuelType",
            TEXT,
            "cng, diesel, electric, electricDiesel, electricGasoline, ethanol, gasoline, hydrogen or lpg",
        ),
        *choice_columns(
            "fuelDetailType", TEXT, "Fuel in detail, e.g. super95, superE1095, biodiesel, cngH, ethanol85, electric"
        ),
        *choice_columns("transmissionType", TEXT, "automatic, manual or semiAutomatic"),
        camel_column("isDamaged", BOOLEAN, "Whether it is damaged now"),
        camel_column("hadAccidentDamage", BOOLEAN, "Whether it ever had accident damage"),
        camel_column("isDrivable", BOOLEAN, "Whether it can be driven"),
        camel_column(
            "nextInspection", TEXT, "When the next inspection is due, as sent; usually a month such as 2017-05"
        ),
        camel_column("isInspectionNew", BOOLEAN, "Whether it is sold with a new inspection"),
        camel_column("lastService", TEXT, "When it was last serviced, as sent; documented as text, usually a day"),
        camel_column("hasFullServiceHistory", BOOLEAN, "Whether the service history is complete"),
        *choice_columns("tyreType", TEXT, "summerTyres, winterTyres or allSeasonTyres"),
        camel_column("tyreBrand", TEXT, "Make of the tyres"),
        camel_column("tyreTreadL", TEXT, "Tread left front (presumably mm); documented as text, a number also comes"),
        camel_column("tyreTreadR", TEXT, "Tread right front (presumably mm); documented as text, a number also comes"),
        camel_column("tyreTreadBL", TEXT, "Tread left back (presumably mm); documented as text, a number also comes"),
        camel_column("tyreTreadBR", TEXT, "Tread right back (presumably mm); documented as text, a number also comes"),
        camel_column("warrantyExpiry", DATE, "Last day of the warranty"),
        camel_column("tsn", TEXT, "Type code of the German registration (Typschlüsselnummer)"),
        camel_column(
            "hsn", NUMERIC, "Maker code of the German registration (Herstellerschlüsselnummer), without leading zeros"
        ),
        camel_column("gears", NUMERIC, "Number of gears"),
        camel_column("cylinders", NUMERIC, "Number of cylinders"),
        camel_column("countryId", TEXT, "Country version, e.g. DE"),
        camel_column("deliveryDate", TEXT, "When it can be delivered, as sent; documented as text, usually a day"),
        camel_column(
            "deliveryPeriod", TEXT, "Time of delivery, as sent; the vendor's page gives no meaning (sample: TODO)"
        ),
        camel_column("isNonSmoker", BOOLEAN, "Whether nobody smoked in it"),
        camel_column("particulateFilter", BOOLEAN, "Whether it has a particulate filter"),
        camel_column("isBioDieselSuitable", BOOLEAN, "Whether it runs on biodiesel"),
        camel_column("isVegetableOilSuitable", BOOLEAN, "Whether it runs on vegetable oil"),
        camel_column("isPluginHybrid", BOOLEAN, "Whether it is a plug-in hybrid"),
        camel_column("isE10Enabled", BOOLEAN, "Whether it runs on petrol with 10 % of ethanol"),
        camel_column("weight", NUMERIC, "Weight, presumably in kg"),
        camel_column("hasSparewheel", BOOLEAN, "Whether it has a spare wheel"),
        *choice_columns("driveType", TEXT, "Driven axle: front, rear, all or other"),
        camel_column("created", Kind.TIMESTAMP, "When it was added; sent without a zone, read in the source's zone"),
        camel_column(
            "updated", Kind.TIMESTAMP, "When it was last changed; sent without a zone, read in the source's zone"
        ),
        camel_column("previousOwnerCount", NUMERIC, "Number of owners before"),
        camel_column("isWarrantyGranted", BOOLEAN, "Whether the dealer gives a warranty"),
        camel_column("isNetPrice", BOOLEAN, 'Whether the price is net of tax; "NO" also comes and is kept in _extra'),
        camel_column(
            "isPriceNegotiable", BOOLEAN, 'Whether the price is negotiable; "NO" also comes and is kept in _extra'
        ),
        camel_column("dealerPrice", NUMERIC, "Price for dealers, in euro"),
        camel_column("equipment", Kind.JSON, "Equipment, as sent; documented as an array without elements"),
        camel_column("damages", Kind.JSON, "Damages, as sent; documented as an array without elements"),
        camel_column("documents", Kind.JSON, "Documents, as sent; documented as an array without elements"),
        camel_column("ads", Kind.JSON, "Where it is advertised, as sent; documented as an array without elements"),
        camel_column("priceExport", NUMERIC, "Export price, in euro"),
        camel_column("recommendedRetailPrice", NUMERIC, "Recommended retail price, in euro"),
        camel_column("priceYard", NUMERIC, "Price on the yard, in euro"),
        camel_column("priceOverpass", NUMERIC, "Transfer price, in euro"),
        *choice_columns("slidingDoor", TEXT, "slidingDoorRight, slidingDoorLeft or slidingDoorBoth"),
        camel_column("emissionsCombinedCo2Class", TEXT, "CO₂ class, combined: A to G"),
        camel_column("emissionsDischargedCo2Class", TEXT, "CO₂ class with the battery discharged: A to G"),
        camel_column("co2EmissionCombined", NUMERIC, "CO₂ in g/km, combined" + _PER_100_KM),
        camel_column("consumptionFuelCombined", NUMERIC, "Fuel in l/100 km, combined" + _PER_100_KM),
        camel_column("consumptionFuelCity", NUMERIC, "Fuel in l/100 km, in town" + _PER_100_KM),
        camel_column("consumptionFuelSuburban", NUMERIC, "Fuel in l/100 km, at the edge of town" + _PER_100_KM),
        camel_column("consumptionFuelRural", NUMERIC, "Fuel in l/100 km, on country roads" + _PER_100_KM),
        camel_column("consumptionFuelHighway", NUMERIC, "Fuel in l/100 km, on motorways" + _PER_100_KM),
        camel_column("consumptionPowerCombined", NUMERIC, "Power in kWh/100 km, combined" + _PER_100_KM),
        camel_column("co2EmissionCombinedWeighted", NUMERIC, "CO₂ in g/km, weighted (plug-in hybrids)" + _PER_100_KM),
        camel_column(
            "consumptionFuelCombinedWeighted", NUMERIC, "Fuel in l/100 km, weighted (plug-in hybrids)" + _PER_100_KM
        ),
        camel_column(
            "consumptionPowerCombinedWeighted", NUMERIC, "Power in kWh/100 km, weighted (plug-in hybrids)" + _PER_100_KM
        ),
        camel_column("co2EmissionsDischarged", NUMERIC, "CO₂ in g/km with the battery discharged" + _PER_100_KM),
        camel_column("consumptionPowerCity", NUMERIC, "Power in kWh/100 km, in town" + _PER_100_KM),
        camel_column("consumptionPowerSuburban", NUMERIC, "Power in kWh/100 km, at the edge of town" + _PER_100_KM),
        camel_column("consumptionPowerRural", NUMERIC, "Power in kWh/100 km, on country roads" + _PER_100_KM),
        camel_column("consumptionPowerHighway", NUMERIC, "Power in kWh/100 km, on motorways" + _PER_100_KM),
        camel_column("electricRangePluginHybrid", NUMERIC, "Electric range of a plug-in hybrid, presumably in km"),
        camel_column(
            "energieCostFuelPrice", NUMERIC, "Fuel price that the energy costs are reckoned with, presumably EUR/l"
        ),
        camel_column(
            "energieCostPowerPrice", NUMERIC, "Power price that the energy costs are reckoned with, presumably EUR/kWh"
        ),
        camel_column(
            "energieCostConsumptionPriceYear", NUMERIC, "Year whose mean energy prices are used; the sample says 1500"
        ),
        camel_column("energieCostTax", NUMERIC, "Vehicle tax, presumably EUR a year"),
        camel_column("energieCostConsumptionCosts", NUMERIC, "Energy costs at 15,000 km a year, presumably EUR"),
        camel_column("energieCostCo2CostsLow", NUMERIC, "CO₂ costs over 10 years at a low CO₂ price, presumably EUR"),
        camel_column("energieCostCo2CostsHigh", NUMERIC, "CO₂ costs over 10 years at a high CO₂ price, presumably EUR"),
        camel_column(
            "energieCostCo2CostsMiddle", NUMERIC, "CO₂ costs over 10 years at a middle CO₂ price, presumably EUR"
        ),
    ),
    indexes=(
        Index(
            name="vehicles_at_hand", on=("created",), where=f"{ALIVE} AND vehicle_state IN ('incoming', 'inventory')"
        ),
    ),
)


async def _confirm_vehicle(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Ask for one vehicle. An id that a listing gave is well formed, so the documented 400 means that it is gone."""
    try:
        answer = await walk.upstream.request("GET", f"/vehicle/{quote(str(key[0]), safe='')}")
    except BadRequest as error:
        if error.status == 400:
            raise NotFound(str(error), status=400) from None
        raise
    return inner_object(envelope(answer), "vehicle")


VEHICLES_STREAM: Final = Stream(
    name="vehicles",
    table=VEHICLES,
    walk=walk_by_value,
    every_s=5 * MINUTE_S,
    sweep_s=DAY_S,
    backfills=True,
    confirm=_confirm_vehicle,
)
