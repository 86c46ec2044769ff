"""Regular expressions as .NET reads them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb.embedded._dotnet._charsets import complement, union
from trio_esdb.embedded._dotnet._pattern_chars import BadPattern
from trio_esdb.embedded._dotnet._patterns import compile_pattern
from trio_esdb.embedded._dotnet._texts import utf16_units


def matches(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).search(utf16_units(text)) is not None


# pattern, names that match, names that do not
PATTERNS: list[tuple[str, list[str], list[str]]] = [
    # what clients use
    (r"^[^\$].*", ["a", "Order$"], ["$metadata", "$", ""]),
    (r"^(?!\$).*$", ["a", "", "a\n"], ["$a", "a\nb"]),
    (r"^(?!(\$|PersistentConfig)).+$", ["Order"], ["$a", "PersistentConfig1"]),
    (r"^Order(Created|Paid)$", ["OrderCreated", "OrderPaid"], ["OrderCreate", "xOrderPaid"]),
    (r"/^[^\$].*/", [], ["a", "/a/"]),
    ("rder", ["Order"], ["ordre"]),
    ("", ["", "a"], []),
    ("a|", ["", "b"], []),
    # anchors
    ("a$", ["a", "a\n", "ba\n"], ["a\n\n", "ab", "a\nb"]),
    (r"a\Z", ["a", "a\n"], ["a\n\n"]),
    (r"a\z", ["a"], ["a\n"]),
    (r"\Aa", ["a"], ["ba", "b\na"]),
    (r"\Ga", ["a"], ["ba"]),
    ("(?m)^a$", ["b\na\nc", "a"], ["ba"]),
    ("^a", ["a"], ["b\na"]),
    ("^*a", ["ba", "a"], ["b"]),
    ("(?:$)+", ["", "a"], []),
    # options
    ("(?i)ordER", ["ORDer", "order"], ["ordr"]),
    ("a(?i)b", ["aB", "ab"], ["AB"]),
    ("(a(?i)b)c", ["aBc"], ["aBC"]),
    ("(?i:a)b", ["Ab"], ["AB"]),
    ("a(?i)b|c", ["aB", "C"], ["AB"]),
    ("(?i)a(?-i)b", ["Ab"], ["AB"]),
    ("(?I)a", ["A"], []),
    ("(?i-m+s)a.", ["A\n"], []),
    ("(?i)k", ["\u212a", "K"], []),
    ("(?i)[k-l]", ["\u212a", "L"], ["m"]),
    ("(?i)s", ["S"], ["\u017f"]),
    ("(?i)[^a]", ["b"], ["A"]),
    ("(?i)\u00e9", ["\u00c9"], ["e"]),
    (r"(?i)(a)\1", ["aA"], ["ab"]),
    ("a.b", ["axb"], ["a\nb", "ab"]),
    ("(?s)a.b", ["a\nb"], ["ab"]),
    ("(?s:a.b).", ["a\nbc"], ["a\nb\n"]),
    ("(?x) a b # c", ["ab"], ["a b"]),
    ("(?x)a b # c\nd", ["abd"], ["ab"]),
    (r"(?x)a\ b[ ]", ["a b "], ["ab"]),
    ("(?x)a * ?b", ["b", "aab"], []),
    ("(?n)(a)b", ["ab"], ["a"]),
    ("a(?#comment)+b", ["aab"], ["b"]),
    # quantifiers
    ("^a{2}$", ["aa"], ["a", "aaa"]),
    ("^a{2,}$", ["aa", "aaaa"], ["a"]),
    ("^a{1,2}?$", ["a", "aa"], ["aaa"]),
    ("^a{,2}$", ["a{,2}"], ["a"]),
    ("^a{x}$", ["a{x}"], []),
    ("^{$", ["{"], []),
    ("^a{$", ["a{"], []),
    ("^a{1$", ["a{1"], []),
    ("^a{1,$", ["a{1,"], []),
    ("^}]$", ["}]"], []),
    ("^(ab)*?c$", ["c", "ababc"], ["abac"]),
    ("^(?=a)*b", ["b"], ["a"]),
    (r"^\x61{0}b", ["b"], ["ab"]),
    # sets
    ("^[]a]$", ["]", "a"], ["b"]),
    ("^[^]a]$", ["b"], ["]", "a"]),
    ("^[a-]$", ["a", "-"], ["b"]),
    ("^[-a]$", ["a", "-"], ["b"]),
    ("^[a-c-e]$", ["b", "-", "e"], ["d"]),
    (r"^[a\-c]$", ["a", "-", "c"], ["b"]),
    (r"^[\]\\^]$", ["]", "\\", "^"], ["a"]),
    (r"^[\x61-\u0063]$", ["b"], ["d"]),
    (r"^[+-\-]$", ["+", ",", "-"], ["."]),
    (r"^[\d-x]$", ["1", "-", "x"], ["a"]),
    (r"^[\b]$", ["\b"], ["b"]),
    ("^[[]$", ["["], ["]"]),
    ("^[a-z-[aeiou]]$", ["b"], ["a", "-", "["]),
    ("^[a-z-[a-m-[c]]]$", ["n", "c"], ["a"]),
    ("^[^a-[b]]$", ["c"], ["a", "b"]),
    ("^[a-[b]]$", ["a"], ["b"]),
    (r"^[\w-[\d]]$", ["a"], ["1"]),
    ("^[^\\s\\S]$", [], ["a", " ", ""]),
    ("^[a&&b]$", ["&"], ["&&"]),
    ("^[^a]$", ["\n"], ["a"]),
    # shorthands
    (r"^\d$", ["1", "\u0661"], ["\u00b2", "a"]),
    (r"^\D$", ["a", "\u00b2"], ["1"]),
    (r"^\w$", ["a", "\u00e9", "_", "\u203f", "\u0300", "\u4e00"], ["\u00b2", "\u2163", "-", "\u0903"]),
    (r"^\W$", ["-", "\u00b2"], ["a"]),
    (r"^\s$", [" ", "\t", "\u00a0", "\u2003", "\x85"], ["\x1c", "\u200b", "a"]),
    (r"^\S$", ["\x1c", "a"], [" "]),
    (r"^\p{Lu}$", ["A", "\u00c9"], ["a", "1"]),
    (r"^\P{Lu}$", ["a"], ["A"]),
    (r"^\p{L}\p{N}\p{Pd}$", ["a1-"], ["11-"]),
    (r"^[\p{Lu}_]$", ["A", "_"], ["a"]),
    (r"(?i)^\p{Lu}$", ["a", "A"], ["1"]),
    (r"^\p{IsCyrillic}$", ["\u0416"], ["a"]),
    (r"\bcat\b", ["cat", "a cat!", "cat-x"], ["cats", "acat", "cat\u0300", "cat\u200d"]),
    (r"a\Bb", ["ab"], ["a b"]),
    (r"\B-", ["--", " -"], ["a-"]),
    # escapes
    (r"^\a\e\f\n\r\t\v$", ["\a\x1b\f\n\r\t\v"], []),
    (r"^\x41\u0042\103\0$", ["ABC\0"], []),
    (r"^\cA\ca$", ["\x01\x01"], []),
    (r"^\-\.\/\@\ $", ["-./@ "], []),
    (r"^\400$", ["\x00"], []),
    # groups and references
    (r"^(a|b)\1$", ["aa", "bb"], ["ab"]),
    (r"^(?<x>a|b)\k<x>\k'x'\<x>$", ["aaaa"], ["aaba"]),
    (r"^(?'x'a)(b)\1\2$", ["abba"], ["abab"]),  # names are numbered last
    (r"^(?<5>a)(b)\5\1$", ["abab"], []),
    (r"^(?<2>a)(?<x>b)\2\1$", ["abab"], []),
    (r"^(?<1>a)(?<x>b)\1\2$", ["abab"], []),
    (r"^(?<x>a)(?<x>b)\k<x>$", ["abb"], ["abc"]),
    (r"^(?<x>a)?b\k<x>$", ["aba"], ["b"]),
    (r"\1(a)", [], ["aa", "a"]),
    (r"(\1a)", [], ["a"]),
    (r"\k<0>", [], ["a"]),
    (r"^(a)\10$", ["a\x08"], []),
    (r"^\<$", ["<"], []),
    (r"^\<a$", ["<a"], []),
    (r"^\<1$", ["<1"], []),
    (r"^(?:a|b)c$", ["ac"], ["ab"]),
    (r"^(?>a+)ab", [], ["aaab"]),
    (r"(?<=a)b", ["ab"], ["bb"]),
    (r"(?<=a|bc)d", ["ad", "bcd"], ["cd"]),
    (r"(?<!a)b", ["b", "cb"], ["ab"]),
    (r"(?<!a|bc)d", ["d", "cd"], ["ad", "bcd"]),
    (r"a(?=b)", ["ab"], ["ac"]),
    (r"^(a)?(?(1)b|c)$", ["ab", "c"], ["ac", "b"]),
    (r"^(?<x>a)?(?(x)b|c)$", ["ab", "c"], ["ac"]),
    (r"^(?<x>a)?(?(x)b)$", ["ab", ""], ["b"]),
    (r"^(?(a)ab|c)$", ["ab", "c"], ["b", "a"]),
    (r"^(?(?=a)ab|c)$", ["ab", "c"], ["a"]),
    (r"^(?(?!a)b|ac)$", ["b", "ac"], ["c"]),
    (r"^(?(?<=a)x|b)", ["b"], ["x"]),
    (r"^(?(y)ya|z)$", ["ya", "z"], []),  # no group of this name, so it is an expression
    (r"^(?(a)|b)", ["a", "b"], ["c"]),
    (r"^(?(0)a|b)$", ["a"], ["b"]),
    (r"^(?(x)a|b)(?<x>c)", ["bc"], ["ac"]),
    (r"^(?(a*?)b|c)$", ["b"], ["c"]),
    # one character that is two code units
    ("^.$", ["\uffff"], ["\U0001f600"]),
    ("^..$", ["\U0001f600"], []),
    ("^\U0001f600$", ["\U0001f600"], ["\U0001f601"]),
    (r"^\ud83d\ude00$", ["\U0001f600"], []),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "yes", "no"), PATTERNS)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


BAD = [
    "(", ")", "a)", "(a", "(?", "(?:", "(?:a", "(?a)", "(?P<x>a)", "(?<", "(?<>a)", "(?<x", "(?<x a)",
    "(?<x'a)", "(?'x>a)", "(?<0>a)", "(?< x>a)", "(?<1x>a)", "(?<=a", "(?)", "(?i", "(?i;a)", "(?iq)", "(?#",
    "(?#a", "[", "[a", "[]", "[^]", "[a\\", "[b-a]", r"[a-\d]", r"[\d-[a]b]", "[a-[b]c]", r"[a-\w]", r"[\q]",
    "*", "+a", "?", "{1}", "{1,2}a", "a|*", "(*a)", "a**", "a+*", "a*+", "a??*", "a{1}{2}", "a{2,1}",
    "a{2147483648}", "a{1,99999999999}", "^(?i)*", "\\", "a\\", r"\q", r"\_", r"\y", r"\1", r"\9", r"(a)\2",
    r"\k", r"\k<", r"\kx", r"\k<x>", r"\k<1>", r"\k<x", r"\<x>", r"\x4", r"\xg1", r"\u004", r"\c", r"\c1",
    "\\c\u0101", r"\p", r"\p{", r"\p{Q}", r"\pL", r"\p{}", r"[\p{Q}]", "(?(1)a)", "(?(1a)b)", "(?(a)b|c|d)",
    "(?(a)b", "(?(?#c)a)", "(?(?<x>a)b)", "(?(?'x'a)b)", "(?(?i)a)", "(?(", r"(?<=[)", r"(?(?=a)b|c|d)",
]  # fmt: skip


@pytest.mark.parametrize("pattern", BAD)
def test_what_dotnet_does_not_parse(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)


# What .NET parses, but has no counterpart here.
REFUSED = ["(?<=a*)b", "(?<x>a)(?<-x>b)", "(?<-x>b)", "(?<x>a)(?<y-x>b)", "(" * 5000 + ")" * 5000]


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)


# Where both languages agree, so must the translation.
PIECES = ["a", "b", "ab", ".", "^", "$", "[ab]", "[^a]", "(?=a)", "(?!b)", r"\$", "|", "a*", "b+?", "(a|b){1,2}"]
common = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@given(common, st.text(alphabet="ab$\n", max_size=6))
def test_common_patterns_mean_what_python_means(pattern: str, name: str) -> None:
    assert matches(pattern, name) is (re.search(pattern, name) is not None)


@given(st.text(alphabet="ab(?:<>=!)[]^-\\dwpLk{}1,*+|.$xi#' ", max_size=12), st.text(alphabet="ab1", max_size=4))
def test_any_text_is_a_pattern_or_refused(pattern: str, name: str) -> None:
    try:
        matches(pattern, name)
    except BadPattern:
        return


ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))))


@given(ranges, ranges)
def test_sets_of_characters(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    def members(one: list[tuple[int, int]]) -> set[int]:
        return {unit for low, high in one for unit in range(low, high + 1)}

    both = union([first, second])
    assert members(list(both)) == members(first) | members(second)
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(both))
    assert members(list(complement(first))) == set(range(0x10000)) - members(first)
