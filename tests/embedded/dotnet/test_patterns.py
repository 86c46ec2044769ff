"""Regular expressions as .NET reads them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb.embedded._dotnet import _automata
from trio_esdb.embedded._dotnet._charsets import case_variants
from trio_esdb.embedded._dotnet._patterns import MAX_TEXT, BadPattern, Pattern, TooMuchWork, UnsupportedPattern


def matches(pattern: str, text: str) -> bool:
    return Pattern(pattern).search(text)


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
    (r"\bcat\b", ["cat", "a cat!", "cat-x"], ["cats", "acat", "cat\u0300", "cat\u200d"]),
    (r"a\Bb", ["ab"], ["a b"]),
    (r"\B-", ["--", " -"], ["a-"]),
    (r"\B", ["", "ab"], ["a"]),
    # escapes
    (r"^\a\e\f\n\r\t\v$", ["\a\x1b\f\n\r\t\v"], []),
    (r"^\cA\ca$", ["\x01\x01"], []),
    (r"^\-\.\/\@\ $", ["-./@ "], []),
    (r"^\040[\101\400]$", [" A", " \0"], ["  "]),
    (r"^\x41\u0042\0$", ["AB\0"], []),
    # groups and references
    (r"^\<$", ["<"], []),
    (r"^\<a$", ["<a"], []),
    (r"^(?:a|b)c$", ["ac"], ["ab"]),
    (r"(?<=a)b", ["ab"], ["bb"]),
    (r"(?<=a|bc)d", ["ad", "bcd"], ["cd"]),
    (r"(?<!a)b", ["b", "cb"], ["ab"]),
    (r"(?<!a|bc)d", ["d", "cd"], ["ad", "bcd"]),
    (r"a(?=b)", ["ab"], ["ac"]),
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
        Pattern(pattern)


UNSUPPORTED: list[tuple[str, str]] = [
    (r"^(a|b)\1$", "back-references"),
    (r"(?<x>a)\k<x>", "back-references"),
    (r"(?<x>a)\k'x'", "back-references"),
    (r"(?<1>a)\<1>", "back-references"),
    (r"(?<=\1(a))b", "back-references"),
    (r"\101", "octal escapes that do not begin with 0"),
    ("^(?>a+)ab", r"atomic groups, \(\?>"),
    ("^(a)?(?(1)b|c)$", r"conditions, \(\?\("),
    ("(?(?=a)a|b)+", r"conditions, \(\?\("),
    ("(?<x>a)(?<-x>b)", "groups that remove a capture"),
    ("(?<x>a)(?<y-x>b)", "groups that remove a capture"),
    (r"\p{IsLetterlikeSymbols}", r"named blocks of characters, \\p\{IsLetterlikeSymbols\}"),
    (r"[\P{IsGreek}]", "named blocks of characters"),
    ("(" * 101 + ")" * 101, "more than 100 groups inside each other"),
    ("[a-[b-" * 6 + "[c]" + "]]" * 6, "more than 10 character classes inside each other"),
    ("a" * 20_001, "more than 20000 characters"),
    ("a{20001}", "more than 20000 steps"),
    ("(a{1000}){1000}", "more than 20000 steps"),
    ("(((a{2147483647}){2147483647}){2147483647}b){2147483647}", "more than 20000 steps"),
    ("(?=a{9000})" * 3, "more than 20000 steps"),
    ("a{3000}|" * 7, "more than 20000 steps"),
]


@pytest.mark.parametrize(("pattern", "reason"), UNSUPPORTED)
def test_what_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(UnsupportedPattern, match=reason):
        Pattern(pattern)


def test_what_matches_no_character_is_repeated_at_no_cost() -> None:
    assert matches("((^|$){2147483647}){2147483647}", "")
    assert matches("(?:){5}(?=a){2147483647}b{0}a", "a")


# -- what a search costs

EXPONENTIAL = [
    ("(a+)+c", "a" * 40 + "b"),
    ("^(a|aa)+$", "a" * 60 + "b"),
    ("(.*a){12}$", "ab" * 40),
    ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60),
    ("(?<=(b|b*)*)c", "b" * 60),
    ("(?=(a*)*b)a", "a" * 60),
    (r"\b(\w+\s?)*\b$", "word " * 20 + "!"),
    ("((((a*)*)*)*)*b", "a" * 60),
]


@pytest.mark.parametrize(("pattern", "text"), EXPONENTIAL)
def test_the_work_grows_with_the_text(pattern: str, text: str) -> None:
    """Each of them keeps a backtracking matcher busy for longer than anybody waits."""
    one, four = Pattern(pattern), Pattern(pattern)
    assert one.search(text) == four.search(text * 4)
    assert one.work <= 600 * len(text)
    assert four.work <= 5 * one.work


def test_a_text_is_given_up_when_it_takes_too_long() -> None:
    # The table of this pattern has as many rows as there are texts of 200 characters, and each has 200 steps.
    pattern = Pattern("^(a|b)*a(a|b){200}c")
    bits = "".join("ab"[int(bit)] for number in range(5000) for bit in f"{number:b}")
    assert not pattern.search(bits[:500])
    pattern.work = 0
    with pytest.raises(TooMuchWork):
        pattern.search(bits)
    assert pattern.work < 201_000
    assert not pattern.search(bits[:500])


def test_long_texts() -> None:
    """As long as a message may be: the usual filters are applied, and what needs several scans is not."""
    long = "a" * MAX_TEXT
    assert matches(r"^(?!(?s:\$.+)\z)", long)
    assert not matches("(a+)+c", long)
    with pytest.raises(TooMuchWork):
        matches(r"a\bb", long)
    with pytest.raises(TooMuchWork):
        matches("^a", long + "a")


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_automata, "_MAX_KEPT", 200)
    pattern = Pattern(r"(?=b)(a|b)*a(a|b){6}(?<!ba)$")
    expected = re.compile(pattern=r"(?=b)(a|b)*a(a|b){6}(?<!ba)$")
    for number in range(300):
        text = f"{number * 97:b}".replace("0", "a").replace("1", "b")
        assert pattern.search(text) is (expected.search(text) is not None)
        assert sum(map(len, _rows(pattern))) <= 200


def _rows(pattern: Pattern) -> list[dict[object, int]]:
    automata = [pattern._rest, *(automaton for _, _, automaton in pattern._looks._automata)]
    return [row for automaton in automata for row in automaton._rows]  # type: ignore[misc]  # keys are compared by none


# -- beside Python's matcher, where both languages agree


def _repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    quantifiers = st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "*?", "+?", "??", "{0,2}?"])
    return st.one_of(
        st.tuples(inner.map("(?:{})".format), quantifiers).map("".join),
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join).map("({})".format),
    )


def _beside_others(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = ["(?={})", "(?!{})", "(?i:{})"]
    return st.one_of(_repeated(inner), st.builds(str.format, st.sampled_from(groups), inner))


ATOMS = ["a", "b", "ab", ".", "(?s:.)", "^", "$", r"\A", "(?m:^)", "(?m:$)", "[ab]", "[^a]", r"\b", r"\$", r"\n"]
BEHIND = ["(?<=a)", "(?<!a)", "(?<=^)", "(?<=a(?=b))", "(?<!$)", r"(?<=\b)", "(?<=.(?<!b))"]
common = st.recursive(st.sampled_from(ATOMS + BEHIND), _beside_others, max_leaves=6)
plain = st.recursive(st.sampled_from(["a", "b", "ab", ".", "[^a]"]), _repeated, max_leaves=4)


@given(common, st.lists(st.text(alphabet="abA$\n", max_size=7), min_size=1, max_size=4))
def test_common_patterns_mean_what_python_means(pattern: str, texts: list[str]) -> None:
    ours, pythons = Pattern(pattern), re.compile(pattern)
    for text in texts:
        assert ours.search(text) is (pythons.search(text) is not None)


@given(plain, plain, st.text(alphabet="ab\n", max_size=6))
def test_a_look_behind_has_any_length(before: str, after: str, text: str) -> None:
    """Python's have a fixed one, so both sides are tried by themselves at each place."""
    left, right = re.compile(rf"(?:{before})\Z"), re.compile(after)
    for sign, wanted in (("=", True), ("!", False)):
        expected = any(
            (left.search(text[:place]) is not None) is wanted and right.match(text, place) is not None
            for place in range(len(text) + 1)
        )
        assert matches(f"(?<{sign}{before})(?:{after})", text) is expected


@given(st.text(alphabet="ab(?:<>=!)[]^-\\dwpLk{}1,*+|.$xi#' ", max_size=12), st.text(alphabet="ab1", max_size=4))
def test_any_text_is_a_pattern_or_refused(pattern: str, name: str) -> None:
    try:
        matches(pattern, name)
    except BadPattern:
        return


# -- characters


def test_the_case_of_all_characters() -> None:
    same: dict[str, set[str]] = defaultdict(set)
    for char in map(chr, range(0x10000)):
        if len(lower := char.lower()) == 1:
            same[lower].add(char)
    for lower, chars in same.items():
        for char in chars:
            assert set(case_variants(char)) == chars, (lower, char)
    assert case_variants("\u0130") == "\u0130"


@pytest.mark.parametrize("name", ["Lu", "Nd", "Cn", "L", "M", "C", "Zs"])
def test_categories(name: str) -> None:
    pattern = Pattern(rf"^\p{{{name}}}$")
    for code in range(0, 0x3000, 7):
        assert pattern.search(chr(code)) is unicodedata.category(chr(code)).startswith(name)
