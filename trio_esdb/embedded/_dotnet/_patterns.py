"""Regular expressions of .NET, rewritten for Python.

A filter's pattern is parsed by .NET's rules, and every construct is put out in a form that means the same to Python:
options are resolved while parsing, sets become explicit ranges, and characters are UTF-16 code units on both sides.
Two kinds of patterns have no such form and are refused although .NET takes them: look-behinds with an alternative of no
fixed length, and groups that undo another one's capture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ._charsets import as_class, boundary_set, is_name_char
from ._pattern_chars import DIGITS, BadPattern, CharScanner, Options
from ._texts import utf16_units

_BLANKS = frozenset("\t\n\f\r ")
_REPETITION = re.compile(r"\{[0-9]+(,[0-9]*)?\}")
_NOTHING = "(?!)"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern for Python. It matches texts that went through `utf16_units`. Raises BadPattern."""
    units = utf16_units(pattern)
    try:
        groups = _Groups()
        _Parser(units, groups, is_first_pass=True).pattern()
        groups.number()
        return re.compile(_Parser(units, groups, is_first_pass=False).pattern())
    except (re.error, OverflowError, RecursionError) as exc:
        raise BadPattern(str(exc)) from exc


@dataclass(slots=True)
class _Groups:
    """The groups of a pattern: known after a first pass, since a reference may stand before its group."""

    unnamed: int = 0
    numbers: set[int] = field(default_factory=lambda: {0})
    names: dict[str, int] = field(default_factory=dict)
    finished: dict[int, list[int]] = field(default_factory=dict)
    """For each number the groups of the Python pattern that are closed so far; several may share a number."""

    def number(self) -> None:
        """Give numbers to the unnamed groups, and those left over to the names in their order."""
        self.numbers.update(range(1, self.unnamed + 1))
        number = self.unnamed
        for name in self.names:
            number += 1
            while number in self.numbers:
                number += 1
            self.numbers.add(number)
            self.names[name] = number
        self.unnamed = 0
        self.finished.clear()


class _Parser(CharScanner):
    def __init__(self, pattern: str, groups: _Groups, *, is_first_pass: bool) -> None:
        super().__init__(pattern)
        self._groups = groups
        self._is_first_pass = is_first_pass
        self._python_groups = 0

    def _skip_blank(self) -> None:
        """White space and comments that the options allow; comments in parentheses are always allowed."""
        while True:
            if self._options.x and self._peek() in _BLANKS:
                self._at += 1
            elif self._options.x and self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif self._text.startswith("(?#", self._at):
                end = self._text.find(")", self._at)
                if end < 0:
                    raise BadPattern("a comment without end")
                self._at = end + 1
            else:
                return

    # -- the structure

    def pattern(self) -> str:
        """The whole pattern."""
        branches = self._branches()
        if self._peek():
            raise BadPattern("too many closing parentheses")
        return "|".join(branches)

    def _branches(self) -> list[str]:
        """Alternatives, up to the end or a closing parenthesis."""
        branches = [self._sequence()]
        while self._takes("|"):
            branches.append(self._sequence())
        return branches

    def _sequence(self) -> str:
        pieces: list[str] = []
        while True:
            self._skip_blank()
            char = self._peek()
            if char in ("", "|", ")"):
                return "".join(pieces)
            if char in "*+?" or (char == "{" and self._is_quantifier()):
                raise BadPattern("a quantifier after nothing")
            unit = self._unit()
            if unit is None:
                continue
            self._skip_blank()
            if self._is_quantifier():
                unit += self._quantifier()
            pieces.append(unit)

    def _is_quantifier(self) -> bool:
        char = self._peek()
        return char in ("*", "+", "?") or (char == "{" and _REPETITION.match(self._text, self._at) is not None)

    def _quantifier(self) -> str:
        char = self._take()
        if char == "{":
            least = most = str(self._decimal())
            if self._takes(","):
                most = "" if self._peek() == "}" else str(self._decimal())
            self._take()
            if most and int(least) > int(most):
                raise BadPattern("a range of repetitions that is reversed")
            char = f"{{{least},{most}}}"
        self._skip_blank()
        return char + ("?" if self._takes("?") else "")

    def _unit(self) -> str | None:
        """What a quantifier may follow; None if it stands for nothing."""
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return as_class(self._char_class())
        if char == "\\":
            return self._escape()
        if char == "^":
            return "(?m:^)" if self._options.m else "(?:^)"
        if char == "$":
            return "(?m:$)" if self._options.m else "(?:$)"
        if char == ".":
            return "(?s:.)" if self._options.s else "."
        return self._char(char)

    # -- groups

    def _group(self) -> str | None:
        options = self._options
        try:
            if self._peek() != "?" or self._peek(1) == ")":
                if options.n:
                    return self._rest("(?:")
                self._groups.unnamed += 1
                return self._capture(self._groups.unnamed)
            self._at += 1
            char = self._take()
            if char in ":=!>":
                return self._rest("(?" + char)
            if char in "<'":
                if char == "<" and self._peek() in ("=", "!"):
                    return self._look_behind(self._take())
                return self._named_group(">" if char == "<" else "'")
            if char == "(":
                return self._conditional()
            self._at -= 1
            changed = self._scan_options()
            if self._takes(")"):
                options = changed
                return None
            if not self._takes(":"):
                raise BadPattern("a group of no known kind")
            self._options = changed
            return self._rest("(?:")
        finally:
            self._options = options

    def _rest(self, opening: str) -> str:
        body = "|".join(self._branches())
        if not self._takes(")"):
            raise BadPattern("too few closing parentheses")
        return f"{opening}{body})"

    def _capture(self, number: int) -> str:
        self._python_groups += 1
        own = self._python_groups
        text = self._rest("(")
        self._groups.finished.setdefault(number, []).append(own)
        return text

    def _look_behind(self, kind: str) -> str:
        branches = self._branches()
        if not self._takes(")"):
            raise BadPattern("too few closing parentheses")
        # Python wants one length for all alternatives, so each gets a look-behind of its own.
        each = [f"(?<{kind}{branch})" for branch in branches]
        return "(?:" + ("|" if kind == "=" else "").join(each) + ")"

    def _named_group(self, close: str) -> str:
        char = self._peek()
        if char in DIGITS:
            number = self._decimal()
            if number == 0:
                raise BadPattern("no group may have the number 0")
            self._groups.numbers.add(number)
        elif char and is_name_char(char):
            number = self._groups.names.setdefault(self._name(), 0)
        else:
            if char == "-":
                raise BadPattern("groups that undo a capture are not supported")
            raise BadPattern("a bad name of a group")
        if self._peek() == "-":
            raise BadPattern("groups that undo a capture are not supported")
        if not self._takes(close):
            raise BadPattern("a bad name of a group")
        return self._capture(number)

    def _scan_options(self) -> Options:
        options = self._options
        on = True
        while char := self._peek():
            if char in "+-":
                on = char == "+"
            elif char.lower() in "imnsx":
                options = replace(options, **{char.lower(): on})
            else:
                break
            self._at += 1
        return options

    def _conditional(self) -> str:
        """After `(?(`: a group's number or name, or an expression that is only looked at."""
        start = self._at
        if self._peek() in DIGITS:
            number = self._decimal()
            if not self._takes(")") or not self._is_group(number):
                raise BadPattern("a condition on a group that is not there")
            return self._choice(self._when_matched(number))
        if (name := self._name()) in self._groups.names and self._takes(")"):
            return self._choice(self._when_matched(self._groups.names[name]))
        self._at = start
        if self._peek() == "?":
            if self._peek(1) in ("#", "'") or (self._peek(1) == "<" and self._peek(2) not in ("!", "=")):
                raise BadPattern("a condition that may not stand here")
            if self._peek(1) not in (":", "=", "!", ">", "<", "("):
                raise BadPattern("a condition with options")
            test = self._group()
        else:
            test = self._rest("(?:")
        return self._choice(f"(?={test})")

    def _choice(self, test: str) -> str:
        self._python_groups += 1
        mark = self._python_groups
        branches = self._branches()
        if len(branches) > 2 or not self._takes(")"):
            raise BadPattern("a condition with too many alternatives")
        # What the test says is final: the empty group is there or not, and nothing goes back to try the other way.
        return f"(?:(?>{test}()|)(?({mark}){'|'.join(branches)}))"

    # -- references and escapes

    def _is_group(self, number: int) -> bool:
        return self._is_first_pass or number in self._groups.numbers

    def _when_matched(self, number: int) -> str:
        """What matches, without taking anything, if a group of this number matched before."""
        finished = self._groups.finished.get(number, [])
        tests = [f"(?({own})|{_NOTHING})" for own in finished]
        return "(?:" + "|".join(tests) + ")" if tests else _NOTHING if number else "(?:)"

    def _reference(self, number: int) -> str:
        finished = self._groups.finished.get(number, [])
        if not finished:
            return _NOTHING
        texts = "|".join(f"(?:\\{own})" for own in finished)
        return f"(?i:{texts})" if self._options.i else f"(?:{texts})"

    def _escape(self) -> str:
        char = self._peek()
        if not char:
            raise BadPattern("a backslash at the end")
        fixed = {"A": "(?:^)", "G": "(?:^)", "Z": "(?:$)", "z": "(?:\\Z)"}
        if char in fixed:
            self._at += 1
            return fixed[char]
        if char in "bB":
            self._at += 1
            word = as_class(boundary_set())
            if char == "b":
                return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
            return f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))"
        if (shorthand := self._shorthand()) is not None:
            return as_class(shorthand)
        return self._back_reference() or self._char(self._char_escape())

    def _back_reference(self) -> str | None:
        start = self._at
        close = ""
        if self._takes("k") and self._peek() not in ("<", "'"):
            raise BadPattern("a bad reference")
        if self._peek() in ("<", "'") and self._peek(1):
            close = ">" if self._take() == "<" else "'"
        elif start != self._at:
            raise BadPattern("a bad reference")
        char = self._peek()
        if char in DIGITS and (close or char != "0"):
            number = self._decimal()
            if not close or self._takes(close):
                if self._is_group(number):
                    return self._reference(number)
                if close or number <= 9:
                    raise BadPattern("a reference to a group that is not there")
        elif close and char and is_name_char(char):
            name = self._name()
            if self._takes(close):
                if name not in self._groups.names and not self._is_first_pass:
                    raise BadPattern("a reference to a group that is not there")
                return self._reference(self._groups.names.get(name, 0))
        self._at = start
        return None
