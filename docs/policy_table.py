"""Writes the policy for trouble into docs/trouble.md: ``python docs/policy_table.py``."""

from __future__ import annotations

from pathlib import Path

from trio_esdb._rpc import POLICY, CallKind

PAGE = Path(__file__).parent / "trouble.md"
BEGIN = "<!-- policy: made by docs/policy_table.py -->\n"
NEVER = "\N{EN DASH}"
END = "<!-- end of policy -->\n"


def table() -> str:
    """The policy as a Markdown table."""
    rows = [["trouble", *(kind.value for kind in CallKind)], ["---"] * (1 + len(CallKind))]
    for trouble, actions in POLICY.items():
        cells = [actions[kind].value if kind in actions else NEVER for kind in CallKind]
        rows.append([trouble.value, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
