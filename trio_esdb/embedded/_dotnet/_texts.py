"""White space, numbers and characters by the rules of .NET, where they differ from Python's."""

from __future__ import annotations

import re

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""All characters of `char.IsWhiteSpace`. Python's `str.isspace` has four control characters more."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_INT64 = re.compile(r"[\t-\r ]*([+-]?)0*([0-9]{1,19})[\t-\r ]*\0*")


def parse_int64(text: str) -> int | None:
    """`long.TryParse`: white space around it, a sign and leading zeros are allowed. None for no number of 64 bits."""
    found = _INT64.fullmatch(text)
    if found is None:
        return None
    number = int(found[1] + found[2])
    return number if INT64_MIN <= number <= INT64_MAX else None


def wrap_int64(number: int) -> int:
    """The signed number whose 64 bits these are."""
    return number - 2**64 if number > INT64_MAX else number


def format_double(number: float) -> str:
    """`double.ToString("R")` of a finite number: the shortest digits that read back as the same number."""
    sign, digits, exponent = _decompose(number)
    point = exponent + 1  # where the decimal point stands, counted from the first digit
    if point > 17 or point < -3:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{mantissa}E{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole, part = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def _decompose(number: float) -> tuple[str, str, int]:
    """Sign, significant digits and the exponent of the first of them."""
    text = repr(number)
    sign = "-" if text.startswith("-") else ""
    mantissa, _, power = text.lstrip("-").partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    exponent = int(power or "0") + len(whole) - 1 - (len(whole + part) - len(digits))
    return (sign, digits.rstrip("0") or "0", exponent if digits.rstrip("0") else 0)


def utf16_units(text: str) -> str:
    """The text with one character for each UTF-16 code unit, which is the character of .NET."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    wide = bytearray(2 * len(units))  # each unit as UTF-32 writes it
    wide[0::4], wide[1::4] = units[0::2], units[1::2]
    return wide.decode("utf-32-le", "surrogatepass")
