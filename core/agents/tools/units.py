"""Units: lengths, masses, volumes, areas, speeds, times, data, temperatures, and bitcoin's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from core.agents.tools.numbers import NUMBER, equals, read_number, show
from core.agents.tools.task import Cannot, Done, Outcome, Task


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: `factor` times the value, plus `offset`, gives the value in the base unit."""

    dimension: str
    symbol: str
    factor: Fraction
    offset: Fraction = Fraction()


# dimension: symbol factor names; the exact factors are those of the SI and of NIST SP 811.
_TABLE = """
length: mm 0.001 millimeter|millimetre; cm 0.01 centimeter|centimetre|zentimeter
length: m 1 meter|metre; km 1000 kilometer|kilometre; in 0.0254 inch|inches|zoll
length: ft 0.3048 foot|feet|fu\u00df; yd 0.9144 yard; mi 1609.344 mile|meile
length: nmi 1852 nautical mile|seemeile
mass: mg 0.000001 milligram|milligramm; g 0.001 gram|gramm; kg 1 kilogram|kilogramm|kilo
mass: t 1000 tonne|metric ton; oz 0.028349523125 ounce|unze; lb 0.45359237 pound|lbs|pfund
mass: st 6.35029318 stone; troy\u00a0oz 0.0311034768 troy ounce|feinunze
volume: ml 0.001 milliliter|millilitre; cl 0.01 centiliter|centilitre; dl 0.1 deciliter|decilitre
volume: l 1 liter|litre; m\u00b3 1000 m3|cubic meter|cubic metre|kubikmeter
volume: gal 3.785411784 gallon|us gallon; imp\u00a0gal 4.54609 imperial gallon|uk gallon
volume: qt 0.946352946 quart; pt 0.473176473 pint; cup 0.2365882365 cups|tasse
volume: fl\u00a0oz 0.0295735295625 fluid ounce; tbsp 0.01478676478125 tablespoon|essl\u00f6ffel
volume: tsp 0.00492892159375 teaspoon|teel\u00f6ffel
area: m\u00b2 1 m2|square meter|square metre|sqm|quadratmeter; ha 10000 hectare|hektar
area: km\u00b2 1000000 km2|square kilometer|square kilometre|quadratkilometer
area: ft\u00b2 0.09290304 ft2|sq ft|square foot|square feet; acre 4046.8564224 acres
speed: m/s 1 meters per second|metres per second; mph 0.44704 miles per hour
speed: km/h 5/18 kmh|kph|kilometers per hour|kilometres per hour; kn 463/900 knot|knoten
time: ms 0.001 millisecond|millisekunde; s 1 second|sec|secs|sekunde; min 60 minute
time: h 3600 hour|hr|hrs|stunde; d 86400 day|tag|tage; week 604800 weeks|woche
time: year 31556952 years|yr|jahr|jahre
data: B 8 byte; kB 8000 kilobyte|KB; MB 8000000 megabyte; GB 8000000000 gigabyte
data: TB 8000000000000 terabyte; KiB 8192 kibibyte; MiB 8388608 mebibyte; GiB 8589934592 gibibyte
data: TiB 8796093022208 tebibyte
data: bit 1 bits; kbit 1000 kilobit; Mbit 1000000 megabit|Mb; Gbit 1000000000 gigabit|Gb
bitcoin: msat 1 millisat|millisatoshi|msats; sat 1000 satoshi|sats|satoshis
bitcoin: \u00b5BTC 100000 bits of bitcoin|ubtc; mBTC 100000000 millibitcoin
bitcoin: BTC 100000000000 bitcoin
"""
_TEMPERATURES = (
    (Unit("temperature", "\u00b0C", Fraction(1), Fraction("273.15")), "c|\u00b0c|celsius"),
    (
        Unit("temperature", "\u00b0F", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
        "f|\u00b0f|fahrenheit",
    ),
    (Unit("temperature", "K", Fraction(1)), "k|kelvin"),
)
_MONEY_TEXT = """
usd eur gbp chf jpy dollar dollars euro euros pound sterling franc francs yen $ \u20ac \u00a3
"""
_MONEY = frozenset(_MONEY_TEXT.split())


def _parsed(table: str) -> dict[str, Unit]:
    """Every name of every unit, in its own case and, where still free, in lower case.

    So "mb" is what people mean by it, a megabyte, and only "Mb" a megabit.
    """
    units: dict[str, Unit] = {}
    for line in table.strip().splitlines():
        dimension, _, entries = line.partition(": ")
        for entry in entries.split("; "):
            symbol, factor, names = entry.split(" ", 2)
            unit = Unit(dimension, symbol.replace("\u00a0", " "), Fraction(factor))
            for name in (unit.symbol, *names.split("|")):
                units[name] = unit
                units.setdefault(name.lower(), unit)
    for unit, names in _TEMPERATURES:
        units |= dict.fromkeys((unit.symbol, *names.split("|")), unit)
    return units


_UNITS: Mapping[str, Unit] = _parsed(_TABLE)
_NAME = r"[^\d\s?=][^\d?=]{0,30}?[\u00b2\u00b323]?"
_AMOUNT = rf"(?P<amount>[-+]?(?:{NUMBER})|an?\b|one\b|eine?[nm]?\b)"
_START = (
    r"(?:(?:convert|change|express|what(?:'s| is| are)|how much (?:is|are)|rechne|wandle"
    r"|was (?:ist|sind)|wie ?viel(?:e)? (?:ist|sind))\b\s*)?"
)
_FORWARD = re.compile(
    rf"{_START}{_AMOUNT}\s*(?P<source>{_NAME})\s*(?:\b(?:to|into|in|as|nach|zu)\b|=|->)\s*"
    rf"(?P<target>{_NAME})(?:\s+um)?[\s?.]*$",
    re.IGNORECASE,
)
_BACKWARD = re.compile(
    rf"(?:how many|how much|wie ?viele?)\s+(?P<target>{_NAME})\s+"
    rf"(?:(?:are|is|make|do|does|sind|ist|hat|haben|ergeben)\s+)?(?:(?:there\s+)?in\s+)?"
    rf"{_AMOUNT}\s*(?P<source>{_NAME})[\s?.]*$",
    re.IGNORECASE,
)


def convert_units(task: Task) -> Outcome:
    """Convert an amount from one unit to another."""
    text = task.material if task.material and len(task.line) <= 20 else task.ask
    match = _FORWARD.match(text[:120]) or _BACKWARD.match(text[:120])
    if match is None:
        return None
    source, target = _unit(match["source"]), _unit(match["target"])
    if source is None or target is None:
        return _unknown(match["source"], match["target"])
    if source.dimension != target.dimension:
        return Cannot(
            f"{source.symbol} measures {source.dimension}, {target.symbol} {target.dimension}: "
            "one cannot be converted into the other."
        )
    amount = read_number(match["amount"])
    value = Fraction(1) if amount is None else amount
    result = (value * source.factor + source.offset - target.offset) / target.factor
    text = f"{show(value)[0]} {source.symbol} {equals(result)} {target.symbol}"
    return Done(f"Convert {source.symbol} to {target.symbol}.", text)


def _unit(name: str) -> Unit | None:
    name = name.strip()
    lower = name.lower().removeprefix("degrees ").removeprefix("grad ")
    for candidate in (name, lower, lower.removesuffix("s"), lower.removesuffix("n")):
        if candidate in _UNITS:
            return _UNITS[candidate]
    return None


def _unknown(source: str, target: str) -> Outcome:
    """Exchange rates are asked for often enough to be refused by name."""
    if {source.strip().lower(), target.strip().lower()} & _MONEY:
        return Cannot("Exchange rates are not known here: this agent works offline.")
    return None
