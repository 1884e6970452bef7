"""A calculator over exact fractions: it evaluates nothing but numbers, signs and a few names.

Work is bounded: length, operations, nesting and the size of every number in between.
"""

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from core.agents.tools.numbers import NUMBER, equals, read_number
from core.agents.tools.task import Cannot, Done, Outcome, Task

EXPRESSION_CHARS_MAX = 1_000
_STEPS_MAX = 400
_DEPTH_MAX = 40
_BITS_MAX = 13_000  # about 3,900 digits: what Python turns into text, and quick to multiply
_FRACTION_BITS_MAX = 1_500

_ASKED = re.compile(
    r"(?:calculate|compute|evaluate|solve|work out|berechne|rechne(?: aus)?)\b[\s:]*", re.IGNORECASE
)
_MAYBE_ASKED = re.compile(
    r"(?:what(?:'s| is| does| are)|how much (?:is|are)|was (?:ist|sind|ergibt|macht)"
    r"|wie ?viel (?:ist|sind|ergibt|macht))\b[\s:]*",
    re.IGNORECASE,
)
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), sign)
    for pattern, sign in (
        (r"(?:the )?square root of|(?:die )?(?:quadrat)?wurzel (?:aus|von)", "sqrt "),
        (r"\b(?:multiplied by|times|mal)\b|[\u00d7\u22c5\u00b7]|(?<=\d) ?x ?(?=\d)", "*"),
        (r"\b(?:divided by|over|geteilt durch|durch)\b|\u00f7|(?<=\d) ?: ?(?=\d)", "/"),
        (r"\bplus\b", "+"),
        (r"\bminus\b|\u2212", "-"),
        (r"\b(?:to the power of|hoch)\b", "^"),
        (r"\b(?:squared|zum quadrat)\b|\u00b2", "^2"),
        (r"\bcubed\b|\u00b3", "^3"),
        (r"\b(?:percent|per cent|prozent)\b", "%"),
        (r"\bhalf of\b|\bdie h\u00e4lfte von\b", "0.5 *"),
        (r"(?<=%)\s*(?:of|von)\b", "*"),
        (r"\bmod(?:ulo)?\b", "mod"),
        (r"\u221a", "sqrt "),
        (r"\u03c0", "pi"),
    )
)
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{NUMBER})|(?P<name>[a-z]+)|(?P<sign>\*\*|//|[-+*/^%!()]))", re.IGNORECASE
)
_NUMBER_ONLY = re.compile(r"[^-+*/^%!()a-zA-Z]*")
_CONSTANTS: Mapping[str, Fraction] = {"pi": Fraction(math.pi), "e": Fraction(math.e)}
_FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "ln": math.log,
    "log": math.log10,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
}
_EXACT_FUNCTIONS: Mapping[str, Callable[[Fraction], Fraction]] = {
    "abs": abs,
    "round": lambda value: Fraction(round(value)),
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
}


class NotArithmetic(Exception):
    """The text is not an expression."""


class NoValue(Exception):
    """The expression has no value here: undefined, or too much."""


def calculate(task: Task) -> Outcome:
    """Work out an expression in signs or simple words."""
    asked = _ASKED.match(task.ask)
    maybe = _MAYBE_ASKED.match(task.ask)
    match = asked or maybe
    expression = task.line[match.end() :] if match is not None else task.line
    if match is not None and not expression.strip():
        expression = task.material
    elif task.material:
        return None
    expression = expression[: EXPRESSION_CHARS_MAX + 1].strip().rstrip("=?. ")
    try:
        return _worked_out(expression, is_asked=asked is not None)
    except NotArithmetic:
        return Cannot(f"This does not read as arithmetic: {expression[:80]}") if asked else None
    except NoValue as problem:
        return Cannot(str(problem))


def _worked_out(expression: str, *, is_asked: bool) -> Outcome:
    if _NUMBER_ONLY.fullmatch(expression) and not is_asked:
        return None
    if len(expression) > EXPRESSION_CHARS_MAX:
        raise NotArithmetic
    value, is_exact = evaluate(expression)
    text = equals(value) if is_exact else equals(value).replace("=", "\u2248")
    return Done("Calculate.", f"{expression} {text}")


def evaluate(expression: str) -> tuple[Fraction, bool]:
    """The value, and whether it is exact. Raises NotArithmetic and NoValue."""
    for pattern, sign in _WORDS:
        expression = pattern.sub(sign, expression)
    parser = _Parser(_tokens(expression))
    value = parser.sum()
    if parser.peek():
        raise NotArithmetic
    return value, parser.is_exact


def _tokens(expression: str) -> list[str]:
    tokens, position = [], 0
    while position < len(expression):
        token = _TOKEN.match(expression, position)
        if token is None:
            raise NotArithmetic
        tokens.append(token[0].strip().lower())
        position = token.end()
    return tokens


class _Parser:
    """Recursive descent: sum, product, sign, power, postfix, atom."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._steps = 0
        self._depth = 0
        self.is_exact = True

    def peek(self) -> str:
        """The next token, "" at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def sum(self) -> Fraction:
        """One whole sum, from where the parser stands."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise NoValue("That is nested too deeply for this calculator.")
        value = self._product()
        while self.peek() in {"+", "-"}:
            sign = self._take()
            other = self._product()
            value = self._bounded(value + other if sign == "+" else value - other)
        self._depth -= 1
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while self.peek() in {"*", "/", "//", "mod"}:
            sign = self._take()
            other = self._signed()
            if sign != "*" and other == 0:
                raise NoValue("Division by zero has no result.")
            value = self._bounded(_product_of(value, sign, other))
        return value

    def _signed(self) -> Fraction:
        negative = False
        while self.peek() in {"+", "-"}:
            negative ^= self._take() == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Fraction:
        base = self._postfix()
        if self.peek() not in {"^", "**"}:
            return base
        self._take()
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise NoValue("That is nested too deeply for this calculator.")
        exponent = self._signed()
        self._depth -= 1
        return self._bounded(self._raised(base, exponent))

    def _postfix(self) -> Fraction:
        value = self._atom()
        while self.peek() in {"%", "!"}:
            value = self._bounded(value / 100 if self._take() == "%" else _factorial(value))
        return value

    def _atom(self) -> Fraction:
        word = self._take()
        number = read_number(word)
        if number is not None:
            return self._bounded(number)
        if word == "(":
            value = self.sum()
            if self._take() != ")":
                raise NotArithmetic
            return value
        if word in _CONSTANTS:
            self.is_exact = False
            return _CONSTANTS[word]
        return self._function(word)

    def _function(self, name: str) -> Fraction:
        if name not in {*_FUNCTIONS, *_EXACT_FUNCTIONS, "sqrt"}:
            raise NotArithmetic
        argument = self._atom()
        if name == "sqrt":
            return self._raised(argument, Fraction(1, 2))
        if name in _EXACT_FUNCTIONS:
            return _EXACT_FUNCTIONS[name](argument)
        return self._approximately(_FUNCTIONS[name], argument)

    def _raised(self, base: Fraction, exponent: Fraction) -> Fraction:
        if base == 0 and exponent < 0:
            raise NoValue("Division by zero has no result.")
        if exponent.denominator == 1:
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if abs(exponent) * max(size - 1, abs(base) not in {0, 1}) > _BITS_MAX:
                raise NoValue("The result is too large for this calculator.")
            return base ** int(exponent)
        if base < 0:
            raise NoValue("That root of a negative number is not a real number.")
        root = _exact_root(base) if exponent == Fraction(1, 2) else None
        return (
            root
            if root is not None
            else self._approximately(lambda number: math.pow(number, float(exponent)), base)
        )

    def _approximately(self, function: Callable[[float], float], argument: Fraction) -> Fraction:
        self.is_exact = False
        try:
            return Fraction(function(float(argument)))
        except (ValueError, OverflowError):
            raise NoValue("That has no result this calculator can hold.") from None

    def _take(self) -> str:
        token = self.peek()
        if not token:
            raise NotArithmetic
        self._at += 1
        return token

    def _bounded(self, value: Fraction) -> Fraction:
        self._steps += 1
        sizes = value.numerator.bit_length(), value.denominator.bit_length()
        limit = _BITS_MAX if value.denominator == 1 else _FRACTION_BITS_MAX
        if max(sizes) > limit or self._steps > _STEPS_MAX:
            raise NoValue("That is too large for this calculator.")
        return value


def _product_of(value: Fraction, sign: str, other: Fraction) -> Fraction:
    match sign:
        case "*":
            return value * other
        case "/":
            return value / other
        case "//":
            return Fraction(value // other)
        case _:
            return value % other


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or not 0 <= value <= 1_300:
        raise NoValue("Factorials go from 0! to 1300! here.")
    return Fraction(math.factorial(int(value)))


def _exact_root(value: Fraction) -> Fraction | None:
    numerator, denominator = math.isqrt(value.numerator), math.isqrt(value.denominator)
    root = Fraction(numerator, denominator)
    return root if root * root == value else None
