"""PARAMETERS.md from the option tables, so that no page restates a row.

python install/parameter_page.py            writes the page
python install/parameter_page.py --check    exits with 1 when the page is out of date
"""

import sys
from pathlib import Path

from facegraft.controls import Row, controls_of
from facegraft.extract import ExtractParams
from facegraft.merge.params import MergeParams
from facegraft.training.params import TrainParams

PAGE = Path(__file__).parent.parent / "PARAMETERS.md"
TABLES = {
    "Merge": (MergeParams, "`facegraft merge`, the FaceGraft node, JSON given to `--params`"),
    "Training": (TrainParams, "`facegraft train`, TOML given to `--config`"),
    "Extraction": (ExtractParams, "`facegraft extract`, TOML given to `--config`"),
}


def render() -> str:
    """The whole page as Markdown."""
    parts = [
        "# Parameters",
        "Made by `install/parameter_page.py` from the option tables in the engine; edit those.",
    ]
    for title, (table, places) in TABLES.items():
        parts.append(f"## {title}\n\n{places}")
        groups: dict[str, list[Row]] = {}
        for row in controls_of(table):
            groups.setdefault(row.control.group, []).append(row)
        for group, rows in groups.items():
            lines = ["| name | default | values | what it does |", "|---|---|---|---|"]
            lines += [_line(row) for row in rows]
            parts.append(f"### {group}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    default = row.default.value if row.choices else row.default
    values = ", ".join(row.choices) if row.choices else row.describe_range()
    if row.type is bool:
        values, default = "yes, no", "yes" if row.default else "no"
    keyed = "" if row.control.animatable else " Not keyframable."
    cells = (f"`{row.name}`", f"{default}" or "none", values, row.control.help + "." + keyed)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    page = render()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE.name} is out of date; run: python install/parameter_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
