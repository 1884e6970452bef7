"""Dates of the Gregorian calendar: differences, sums, weekdays, leap years, Unix times.

The clock is read only where a request says "today" or leaves one end of a span open.
"""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from core.agents.tools.task import Cannot, Done, Outcome, Task, Tool

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar",
            "february feb februar",
            "march mar m\u00e4rz",
            "april apr",
            "may mai",
            "june jun juni",
            "july jul juli",
            "august aug",
            "september sep sept",
            "october oct oktober okt",
            "november nov",
            "december dec dezember dez",
        ),
        1,
    )
    for name in names.split()
}
_DAY = re.compile(
    r"\b(?:(?P<word>today|now|tomorrow|yesterday|heute|morgen|gestern)"
    r"|(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})"
    r"|(?P<gd>\d{1,2})\.\s?(?P<gm>\d{1,2})\.\s?(?P<gy>\d{4})"
    r"|(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<sy>\d{4})"
    r"|(?P<nd>\d{1,2})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?(?P<nm>[a-z\u00e4]{3,9})\.?,?\s+(?P<ny>\d{4})"
    r"|(?P<em>[a-z]{3,9})\.?\s+(?P<ed>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<ey>\d{4}))\b",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"\b(?P<count>\d{1,6}|an?|one|eine?[nm]?)\s+"
    r"(?P<unit>day|week|month|year|tag|woche|monat|jahr)(?:s|e[n]?|n)?\b",
    re.IGNORECASE,
)
_VOCABULARY_TEXT = """
es how many much long what whats which when is are was will be the a it of on in by there date day
days week weeks weekday month months year years between from to until till and since after
before ago plus minus add subtract hence later earlier calculate compute did does fall number
iso calendar have passed left time tell me s do we ein eine einem wie viele lange welcher
welches welchen was wochentag kalenderwoche datum tag tage tagen wochen woche zwischen und von
vom bis zum dem den der das ist sind war liegt liegen ab nach vor seit haben wir rechne ein fiel
f\u00e4llt am
"""
_VOCABULARY = frozenset(_VOCABULARY_TEXT.split())
_WORD = re.compile(r"[^\W\d_]+")
_LEAP = re.compile(r"(?:is |was |ist |war )?(\d{4}) (?:a leap year|ein schaltjahr)", re.IGNORECASE)
_UNIX = re.compile(
    r"(?:convert |what is |which date is )?(?:the )?(?:unix|epoch)(?:[ -]?(?:time|timestamp))*"
    r":? (\d{1,11})\b",
    re.IGNORECASE,
)
_TODAY = re.compile(
    r"(?:what(?:'s| is)? (?:the |today's )?date(?: is it)?(?: today)?"
    r"|what day is (?:it|today)(?: today)?|today's date"
    r"|(?:welches datum|welcher tag) (?:ist|haben wir)(?: heute)?)[\s?.]*$",
    re.IGNORECASE,
)
_BACK = re.compile(r"\b(?:before|ago|minus|subtract|earlier|vor)\b|\s-\s", re.IGNORECASE)


def dates(today: Callable[[], date]) -> Tool:
    """The tool for dates, with a way to learn which day it is."""

    def answer(task: Task) -> Outcome:
        text = f"{task.ask} {task.material[:80]}".strip()
        try:
            return _answer(text, today)
        except _NotOneDay as problem:
            return Cannot(str(problem))
        except (ValueError, OverflowError):
            return Cannot("That is no day of the calendar between the years 1 and 9999.")

    return answer


class _NotOneDay(Exception):
    """The digits name more than one day; its text is a sentence for the customer."""


def _answer(text: str, today: Callable[[], date]) -> Outcome:
    if (leap := _LEAP.match(text)) is not None:
        word = "is" if calendar.isleap(int(leap[1])) else "is not"
        return Done("Look at the calendar.", f"{int(leap[1])} {word} a leap year.")
    if (unix := _UNIX.match(text)) is not None:
        moment = datetime.fromtimestamp(int(unix[1]), UTC)
        return Done("Read the Unix time.", moment.strftime("%Y-%m-%d %H:%M:%S UTC"))
    if _TODAY.match(text) is not None:
        return _described(today())
    found = [match for match in _DAY.finditer(text) if _names_a_day(match)]
    amount = _AMOUNT.search(text)
    if not (found or amount) or not _is_about_dates(text, [*found, *([amount] if amount else [])]):
        return None
    return _worked_out(text, [_day(match, today) for match in found], amount, today)


def _worked_out(
    text: str, days: list[date], amount: re.Match[str] | None, today: Callable[[], date]
) -> Outcome:
    match days:
        case [start, end]:
            return _span(start, end)
        case [day] if amount is not None:
            return _described(_shifted(day, amount, _sign(text)))
        case [day] if re.search(r"\b(?:until|till|to|since|bis|seit)\b", text, re.IGNORECASE):
            return _span(*sorted((day, today())))
        case [day]:
            return _described(day)
        case [] if amount is not None and re.search(
            r"\b(?:in|ago|vor|hence)\b|from now", text, re.IGNORECASE
        ):
            return _described(_shifted(today(), amount, _sign(text)))
        case _:
            return None


def _names_a_day(match: re.Match[str]) -> bool:
    month = match["nm"] or match["em"]
    return month is None or month.lower() in _MONTHS


def _is_about_dates(text: str, known: list[re.Match[str]]) -> bool:
    """Whether all other words speak of dates: "a story set on 2024-01-01" is not for this tool."""
    for match in known:
        text = text.replace(match[0], " ")
    words = [word.lower() for word in _WORD.findall(text)]
    return all(word in _VOCABULARY for word in words)


def _day(match: re.Match[str], today: Callable[[], date]) -> date:
    group = match.groupdict()
    if group["word"]:
        return today() + timedelta(days=_RELATIVE[group["word"].lower()])
    if group["sy"]:
        return _slashed(int(group["a"]), int(group["b"]), int(group["sy"]))
    year = group["y"] or group["gy"] or group["ny"] or group["ey"]
    month = group["m"] or group["gm"] or _MONTHS[(group["nm"] or group["em"]).lower()]
    day = group["d"] or group["gd"] or group["nd"] or group["ed"]
    return date(int(year), int(month), int(day))


def _slashed(first: int, second: int, year: int) -> date:
    """A date with slashes, where only one order of day and month is possible."""
    if first <= 12 and second <= 12 and first != second:
        raise _NotOneDay("Slashes leave day and month open: please write dates as 2026-12-24.")
    month, day = (first, second) if first <= 12 else (second, first)
    return date(year, month, day)


_RELATIVE = {
    "today": 0,
    "now": 0,
    "heute": 0,
    "tomorrow": 1,
    "morgen": 1,
    "yesterday": -1,
    "gestern": -1,
}


def _sign(text: str) -> int:
    return -1 if _BACK.search(text) is not None else 1


def _shifted(day: date, amount: re.Match[str], sign: int) -> date:
    count = sign * (int(amount["count"]) if amount["count"].isdecimal() else 1)
    match amount["unit"].lower():
        case "day" | "tag":
            return day + timedelta(days=count)
        case "week" | "woche":
            return day + timedelta(weeks=count)
        case "month" | "monat":
            return _months_later(day, count)
        case _:
            return _months_later(day, 12 * count)


def _months_later(day: date, count: int) -> date:
    """The same day of another month, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def _span(start: date, end: date) -> Done:
    days = abs((end - start).days)
    weeks, rest = divmod(days, 7)
    more = f" ({weeks} weeks and {rest} days)" if weeks else ""
    unit = "day" if days == 1 else "days"
    return Done("Count the days.", f"{days} {unit}{more} between {start} and {end}")


def _described(day: date) -> Done:
    """ISO date, weekday and week. English names, whatever the locale of the machine says."""
    week = day.isocalendar()
    name = (
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    )[day.weekday()]
    return Done("Look at the calendar.", f"{day} is a {name}, in week {week.week} of {week.year}.")
