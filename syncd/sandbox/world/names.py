"""Words that the seed data is made of: invented people and places that look like the trade; no real person's data."""

from functools import cache

from syncd.sandbox.world.dice import Dice


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Anouk Bart Bram Carla Daan Dirk Eline Els Femke Floor Gerrit Guus Hanneke Henk Inge Iris Jasper Jeroen Joke Joris "
    "Karin Kees Koen Lars Lieke Loes Maarten Marijke Marloes Mieke Niels Noor Olga Pieter Pim Renske Roos Ruben Sanne "
    "Sjoerd Sofie Stijn Teun Tijn Tineke Tom Truus Vera Wim Wout Yvonne Zoë Noémie Maëlle Jürgen Björn"
)
LAST_NAMES = _words(
    "Bakker Beekman Bos Brouwer Claes Coppens Dekker Dijkstra Driessen Evers Geerts Hendriks Hermans Hoekstra Jacobs "
    "Jansen Kok Koster Kuipers Lambrecht Maes Martens Meijer Mertens Mulder Peeters Postma Prins Schouten Smeets Smit "
    "Timmermans Verbeek Verhoeven Vermeulen Visser Vos Wagenaar Willems Wouters Zijlstra Lefèvre Çelik Müller O'Neill"
)
INSERTIONS = ("", "", "", "", "van", "de", "van de", "van der", "den", "ter")
STREETS = _words(
    "Dorpsstraat Kerkstraat Molenweg Stationsstraat Raadhuisplein Beukenlaan Schoolstraat Industrieweg Havenkade "
    "Burgemeestersingel Wilhelminastraat Julianalaan Eikenlaan Kastanjehof Markt Nieuwstraat Zandpad Hogeweg "
    "Fietserspad Meidoornstraat"
)
DUTCH_CITIES = _words(
    "Rosmalen Nistelrode Heerenveen Deventer Berlicum Zwolle Amersfoort Tilburg Breda Nijmegen Apeldoorn Gouda Alkmaar "
    "Leiden Assen Venlo Oss Uden Vught Zeist Hoorn Sneek"
)
BELGIAN_CITIES = _words("Antwerpen Gent Leuven Mechelen Hasselt Turnhout Brugge Kortrijk Geel Mol Aalst Genk")
GERMAN_CITIES = _words("Kaiserslautern Mannheim Kassel Bielefeld Aachen Münster Göttingen Würzburg Fürth Gera")
GERMAN_STREETS = (
    "Hauptstraße", "Bahnhofstraße", "Gartenweg", "Lindenallee", "Schillerstraße", "Am Hafen", "Ringstraße", "Mühlweg",
)  # fmt: skip
POSTCODE_LETTERS = "ABCDEGHJKLMNPRSTVWXZ"  # those that Dutch postcodes use
BIKE_BRANDS = _words("Gazelle Batavus Sparta Cortina Koga Giant Trek Stella Union Kalkhoff Cube VanMoof Brompton")
BIKE_MODELS = (
    "Ultimate C8 HMB",
    "Orange C7+",
    "Finez E-go Power",
    "Dinsdag E-go",
    "M8Tb",
    "a-Lane Lite",
    "E-U4 Transport",
    "Pace B10",
    "Grenoble C8",
    "Crescendo",
    "Arroyo C7",
    "Medeo T9",
)
COMPANIES = (
    "Van Dam Logistiek BV",
    "Zorggroep De Linde",
    "Bakkerij 't Hoekje",
    "Accountants & Partners NV",
    "Drukkerij Noord",
    'Brouwerij "De Drie Linden" BVBA',
    "Hogeschool Kempen",
    "Stadsbestuur Voorbeeldgem",
    "Installatiebedrijf Pols",
    "Tuincentrum Groenrijk Oost",
)
EMAIL_DOMAINS = ("example.com", "example.org", "example.net")  # RFC 2606


@cache
def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isascii() and sign.isalnum())


def dutch_postcode(dice: Dice) -> str:
    """Return a postcode such as 5243RB."""
    return f"{dice.between(1000, 9999)}{dice.text(POSTCODE_LETTERS, 2)}"


def email_of(first_name: str, last_name: str, number: int | str, domain: str) -> str:
    """Return an address that can never reach anybody."""
    return f"{_plain(first_name)}.{_plain(last_name)}{number}@{domain}"
