"""PARAMETERS.md and docs/merge.md from the engine's tables, so that no page restates a row.

python install/parameter_page.py            writes the pages
python install/parameter_page.py --check    exits with 1 when one is out of date
"""

import sys
from pathlib import Path

from facegraft.controls import Row, controls_of
from facegraft.extract import ExtractParams
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.keys import VERSION
from facegraft.merge.out.outputs import OUTPUTS
from facegraft.merge.params import MergeParams
from facegraft.merge.presets import SHIPPED, load_preset
from facegraft.training.mask_params import MaskTrainParams
from facegraft.training.params import TrainParams
from facegraft_cli.exit_codes import MEANINGS

REPOSITORY = Path(__file__).parent.parent
TEMPLATE = Path(__file__).parent / "merge_page.in.md"
TABLES = {
    "Merge": (MergeParams, "`facegraft merge`, the FaceGraft node, JSON given to `--params`"),
    "Faces of a merge": (ClipParams, "`facegraft merge`, the FaceGraft node"),
    "Training": (TrainParams, "`facegraft train`, TOML given to `--config`"),
    "Mask training": (MaskTrainParams, "`facegraft mask train`, TOML given to `--config`"),
    "Extraction": (ExtractParams, "`facegraft extract`, TOML given to `--config`"),
}
MADE = "Made by `install/parameter_page.py` from the option tables in the engine; edit those."


def parameters() -> str:
    """PARAMETERS.md as Markdown."""
    parts = ["# Parameters", MADE]
    for title, (table, places) in TABLES.items():
        parts.append(f"## {title}\n\n{places}")
        parts.append(_groups(table))
    return "\n\n".join(parts) + "\n"


def merging() -> str:
    """docs/merge.md as Markdown."""
    shipped = (load_preset(path.stem) for path in sorted(SHIPPED.glob("*.json")))
    return TEMPLATE.read_text(encoding="utf-8").format(
        made="Made by `install/parameter_page.py` from `install/merge_page.in.md` and the option "
        "tables in the engine; edit those.",
        rows=_groups(MergeParams),
        clip_rows=_groups(ClipParams),
        version=VERSION,
        presets="\n".join(
            [
                "| preset | what it is for | what it sets |",
                "|---|---|---|",
                *(
                    f"| `{preset.name}` | {preset.about} | "
                    + ", ".join(f"{row} {_plain(value)}" for row, value in preset.values.items())
                    + " |"
                    for preset in shipped
                ),
            ]
        ),
        outputs="\n".join(
            [
                "| option | what it writes |",
                "|---|---|",
                *(f"| `--{kind.name.replace('_', '-')}` | {kind.help} |" for kind in OUTPUTS),
            ]
        ),
        exit_codes="\n".join(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()),
    )


PAGES = {"PARAMETERS.md": parameters, "docs/merge.md": merging}


def _groups(table: type) -> str:
    """A heading and a table of Markdown for each group of rows."""
    groups: dict[str, list[Row]] = {}
    for row in controls_of(table):
        groups.setdefault(row.control.group, []).append(row)
    parts = []
    for group, rows in groups.items():
        lines = ["| name | default | values | what it does |", "|---|---|---|---|"]
        lines += [_line(row) for row in rows]
        parts.append(f"### {group}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _line(row: Row) -> str:
    default = row.default.value if row.choices else row.default
    values = ", ".join(row.choices) if row.choices else row.describe_range()
    if row.type is bool:
        values, default = "yes, no", "yes" if row.default else "no"
    keyed = "" if row.control.animatable else " Not keyframable."
    cells = (f"`{row.name}`", f"{default}" or "none", values, row.control.help + "." + keyed)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    stale = []
    for name, render in PAGES.items():
        path, page = REPOSITORY / name, render()
        if path.exists() and path.read_text(encoding="utf-8") == page:
            continue
        if "--check" in sys.argv[1:]:
            stale.append(name)
        else:
            path.write_text(page, encoding="utf-8")
    if stale:
        again = "python install/parameter_page.py"
        print(f"{' and '.join(stale)} out of date; run: {again}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
