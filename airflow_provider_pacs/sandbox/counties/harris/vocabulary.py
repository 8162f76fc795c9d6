"""The names, streets and codes of the generated county.

CP1252 is part of it: ñ, é, curly quotes, dashes.
"""

LAST = (
    "O'BRIEN",
    "PEÑA",
    "SMITH",
    "GARCÍA",
    "NGUYEN",
    "MÜLLER",
    "DE LA CRUZ",
    "JOHNSON",
    "D’ANGELO",
    "MACDONALD",
    "LEE",
    "ŠIMEK",
    "BROWN",
    "NÚÑEZ",
)
FIRST = (
    "ANN",
    "JOSÉ",
    "ROBERT",
    "MARY-JANE",
    "ZOË",
    "WILLIAM",
    "LINDA",
    "RENÉ",
    "CARLOS",
    "SUSAN",
    "BJÖRN",
    "PATRICIA",
    "M",
)
FIRMS = (
    "“COLUMBIA FAMILY” TRUST",
    "SMITH, JONES & SONS LLC",
    "PORT OF KENNEWICK",
    "YAKIMA RIVER HOLDINGS, INC",
    "BANK’S TRUSTEE – SERIES 2004",
    "PEÑA & PEÑA PLLC",
)
STREETS = ("CLEARWATER", "UNION", "CAÑON", "VOLLAND", "O'NEILL", "3RD", "SAINT ANDRÉ", "GAGE", "O’HARA")
SUFFIXES = ("AVE", "ST", "DR", "BLVD", "CT", "RD")
PREFIXES = ("W", "S", "N", "E", "")
CITIES = ("KENNEWICK", "RICHLAND", "PROSSER", "BENTON CITY", "WEST RICHLAND", "FINLEY", "PATERSON")
ZIPS = ("99336", "99352", "99350", "99320", "99353", "99337", "99345")
PLATS = (
    "MEADOW HILLS",
    "“CAÑON VIEW” ESTATES",
    "O'HARA'S ADDITION",
    "HORN RAPIDS, PHASE 2",
    "SHORT PLAT 1234; 5%",
)
PROPERTY_TYPES = {"R": "Real", "P": "Personal", "MH": "Mobile Home", "MN": "Mineral", "A": "Automobile"}
BUILDING_TYPES = {
    "R1": "Single Family Residence",
    "MH": "Manufactured Home",
    "C": "Commercial – Retail",
    "AG": "Farm Building",
    "CONDO": "Condominium",
}
DETAIL_TYPES = {
    "MA": ("Main Area", "T"),
    "MA2": ("Upper Floor", "T"),
    "AGAR": ("Attached Garage", "F"),
    "DECK": ("Wood Deck", "F"),
    "CPCH": ("Covered Porch", "F"),
    "BSMT": ("Basement – Finished", "F"),
    "SHOP": ("Shop", None),
}
CONDITIONS = ("G", "A", "F", "P", "VG", "EX")
LAND_TYPES = {"RES": "Residential", "AG": "Agricultural – current use", "TIMB": "Designated forest"}
EXEMPTION_TYPES = {"EX": "Exempt", "SNR/DSBL": "Senior or disabled person"}
RATIO_TYPES = {"00": ("Not a market sale", "1"), "02": ("Valid sale", "0")}
