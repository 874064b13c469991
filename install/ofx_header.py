"""The OpenFX node's parameters, from MergeParams and the rows below: as C in
host_plugin/ofx/rows.h, as a page for users in docs/openfx.md, and as Kdenlive's effect file.

python install/ofx_header.py            writes all
python install/ofx_header.py --check    exits with 1 when one is out of date

Names and choices are the ones of the command line and of JSON, and stay: hosts store them in
projects, and some store a choice by its text.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import kdenlive_effect

from facegraft import __version__
from facegraft.controls import Row, controls_of, table_digest
from facegraft.media.source import NAME_DIGITS
from facegraft.media.working_space import SPACE_NAMES
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.params import MergeParams
from facegraft.worker.protocol import MAX_MESSAGE, PROTOCOL
from facegraft.worker.request import SCENE_LINEAR
from facegraft_cli.ofx_folders import HOSTS

REPOSITORY = Path(__file__).parent.parent
HEADER = REPOSITORY / "host_plugin" / "ofx" / "rows.h"
PAGE = REPOSITORY / "docs" / "openfx.md"
KDENLIVE = REPOSITORY / "host_plugin" / "ofx" / "kdenlive.xml"
TEMPLATE = Path(__file__).parent / "ofx_page.in.md"
# a host keeps a filter's parameters and its own properties in one namespace
RESERVED = {"in", "out", "length", "track", "disable", "resource", "version"}
_LIKENESS = next(row for row in controls_of(ClipParams) if row.name == "likeness")
SPACES = ("auto", "display", SCENE_LINEAR, *SPACE_NAMES[2:])  # linear_rec709 is scene_linear


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One parameter of the node."""

    name: str
    kind: str  # bool, int, double, choice, point, text, file, folder
    label: str
    hint: str
    group: str
    default: float | str = 0.0  # of a choice, its text
    hard: tuple[float, float] = (0, 0)
    soft: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    animates: bool = False
    is_merge: bool = False  # a row of MergeParams


OWN = (
    NodeRow(
        "model", "file", "Model", "The .dfm file to swap with; empty leaves the picture", "Model"
    ),
    NodeRow(
        "segmenter",
        "file",
        "Segmenter",
        "XSeg or another mask network (.onnx), for the xseg mask modes",
        "Model",
    ),
    NodeRow(
        "enhancer",
        "file",
        "Enhancer",
        "Super resolution network (.onnx), for the row Super resolution",
        "Model",
    ),
    NodeRow(
        "recognition",
        "file",
        "Recognition",
        "Face recognition network (.onnx, ArcFace kind), for the faces like a reference picture",
        "Model",
    ),
    NodeRow(
        "input_color",
        "choice",
        "Input color",
        "What the pixels are; auto takes a host's word for it (OpenFX 1.5's colour management), "
        "else float of Nuke and Natron for scene_linear (Rec. 709 primaries) and everything else "
        "for display",
        "Model",
        default="auto",
        choices=SPACES,
    ),
    NodeRow(
        "face_choice",
        "choice",
        "Faces",
        "Which faces are swapped: all, the largest ones, the one nearest to the point, those of a "
        "track of the faceset, by place from the left, or those like the reference picture",
        "Face",
        default="all",
        choices=("all", "largest", "near", "track", "left", "like"),
        animates=True,
    ),
    NodeRow(
        "face_number",
        "int",
        "Face number",
        "With largest: how many; with track: the track's number; with left: the place, from 1",
        "Face",
        default=1,
        hard=(0, 9999),
        soft=(0, 10),
        animates=True,
    ),
    NodeRow(
        "face_point",
        "point",
        "Face point",
        "With near: the face nearest to this point of the picture",
        "Face",
        animates=True,
    ),
    NodeRow(
        "face_reference",
        "file",
        "Face reference",
        "With like: a picture of the person to be swapped, or a folder of them; needs Recognition",
        "Face",
    ),
    NodeRow(
        "likeness",
        "double",
        "Likeness",
        "With like: least cosine similarity of a face to the reference",
        "Face",
        default=_LIKENESS.default,
        hard=_LIKENESS.control.hard or (-1, 1),
        soft=_LIKENESS.slider,
        animates=True,
    ),
    NodeRow(
        "faceset",
        "folder",
        "Faceset",
        "Faces as `facegraft extract` found and followed them; empty searches each frame by itself",
        "Face",
    ),
    NodeRow(
        "frame_name",
        "text",
        "Frame name",
        "Name of a frame in the faceset: its image's name without suffix, with # for each digit of "
        "the number; ###### for a movie",
        "Face",
        default="#" * NAME_DIGITS,
    ),
    NodeRow(
        "frame_offset",
        "int",
        "Frame offset",
        "Added to the host's frame number to get the faceset's",
        "Face",
        hard=(-1_000_000, 1_000_000),
        soft=(-1000, 1000),
    ),
    NodeRow(
        "fits",
        "file",
        "Fits",
        "What Blender's Fit Steady wrote of this clip and faceset: color and mask of each frame, "
        "for Steady color and Steady mask",
        "Face",
    ),
    NodeRow(
        "mask_use",
        "choice",
        "Mask input",
        "What a connected mask does: limit the swap to it, keep the swap out of it, or nothing; "
        "mask mode host takes it as the face's mask instead",
        "Mask",
        default="limit",
        choices=("limit", "keep_out", "off"),
        animates=True,
    ),
    NodeRow(
        "output",
        "choice",
        "Output",
        "The result; the matte as grey; the swapped face alone, premultiplied by its matte; or the "
        "source with the matte as its alpha",
        "Output",
        default="result",
        choices=("result", "matte", "face", "source_with_matte"),
    ),
    NodeRow(
        "on_error",
        "choice",
        "On error",
        "What a frame that could not be swapped does, beside the message: stop the render, show "
        "the source, or show it with a red border",
        "Output",
        default="fail",
        choices=("fail", "pass_through", "mark"),
    ),
)


def node_rows() -> tuple[NodeRow, ...]:
    """Every parameter in the order of display."""
    return (*OWN, *(_merge_row(row) for row in controls_of(MergeParams)))


def header() -> str:
    """rows.h.

    Raises: ValueError for a name or a text that some host would not take.
    """
    rows = node_rows()
    for row in rows:
        _check(row)
    groups = dict.fromkeys(row.group for row in rows)
    parts = [
        "/* Made by install/ofx_header.py from the engine's MergeParams; edit those. */",
        "#ifndef FACEGRAFT_ROWS_H\n#define FACEGRAFT_ROWS_H\n",
        "#include <stdbool.h>\n#include <stddef.h>\n",
        f"#define FACEGRAFT_VERSION {_text(__version__)}",
        f"#define FACEGRAFT_PROTOCOL {PROTOCOL}",
        f"#define FACEGRAFT_MAX_MESSAGE {MAX_MESSAGE}",
        f"#define FACEGRAFT_TABLE_DIGEST {_text(table_digest(MergeParams))}\n",
        "enum kind { KIND_BOOL, KIND_INT, KIND_DOUBLE, KIND_CHOICE, KIND_POINT, KIND_TEXT, "
        "KIND_FILE, KIND_FOLDER };\n",
        "struct row {",
        "    const char *id, *label, *hint, *group;",
        "    enum kind kind;",
        "    double preset, low, high, soft_low, soft_high; /* preset of a choice: its index */",
        "    const char *text;                              /* preset of a text */",
        "    const char *const *choices;                    /* ends with NULL */",
        "    bool animates, is_merge;",
        "};\n",
        "enum { " + ", ".join(_index(row.name) for row in rows) + ", ROW_COUNT };\n",
        *(_choice_enum(row) for row in rows if row.choices and not row.is_merge),
        _merge_values(rows),
        *(
            f"static const char *const CHOICES_{row.name}[] = "
            f"{{{', '.join(map(_text, row.choices))}, NULL}};"
            for row in rows
            if row.choices
        ),
        "\nstatic const char *const GROUPS[] = {" + ", ".join(map(_text, groups)) + ", NULL};\n",
        "static const struct row ROWS[ROW_COUNT] = {",
        *(_row(row) for row in rows),
        "};\n\n#endif",
    ]
    return "\n".join(parts) + "\n"


def _merge_row(row: Row) -> NodeRow:
    row_control = row.control
    unit = f" ({row_control.unit})" if row_control.unit else ""
    kinds = {bool: "bool", int: "int", float: "double"}
    default = row.default.value if row.choices else row.default
    return NodeRow(
        name=row.name,
        kind="choice" if row.choices else kinds[row.type],
        label=row_control.label,
        hint=row_control.help + unit,
        group=row_control.group,
        default=default,
        hard=row_control.hard or (0, 1),
        soft=row_control.soft,
        choices=row.choices,
        animates=row_control.animatable,
        is_merge=True,
    )


def _check(row: NodeRow) -> None:
    if not row.name.isidentifier() or row.name in RESERVED or row.name != row.name.lower():
        raise ValueError(f"{row.name}: some hosts cannot take this as a parameter's name")
    for text in (row.label, row.hint, *row.choices):
        if not text.isascii():
            raise ValueError(f"{row.name}: {text!r} is not ASCII; some hosts show nothing else")
    for choice in row.choices:
        if set(choice) & set(";=|~"):
            raise ValueError(f"{row.name}: {choice!r} holds a sign that keyframes are written with")


def _choice_enum(row: NodeRow) -> str:
    names = (f"{row.name}_{choice}".upper() for choice in row.choices)
    return "enum { " + ", ".join(names) + " };"


def _merge_values(rows: tuple[NodeRow, ...]) -> str:
    """The choices of merge rows that the node itself looks at."""
    by_name = {row.name: row for row in rows}
    wanted = (("mode", "original"), ("mask_mode", "host"))
    values = (f"{n}_{c} = {by_name[n].choices.index(c)}".upper() for n, c in wanted)
    return "enum { " + ", ".join(values) + " };"


def _row(row: NodeRow) -> str:
    text, number = "NULL", 0.0
    if row.choices:
        number = row.choices.index(str(row.default))
    elif row.kind in ("text", "file", "folder"):
        text = _text(row.default if isinstance(row.default, str) else "")
    else:
        number = float(row.default)
    limits = [*row.hard, *(row.soft or row.hard)]
    numbers = ", ".join(f"{value:.10g}" for value in (number, *limits))
    choices = f"CHOICES_{row.name}" if row.choices else "NULL"
    flags = ", ".join("true" if flag else "false" for flag in (row.animates, row.is_merge))
    texts = ", ".join(map(_text, (row.name, row.label, row.hint, row.group)))
    kind = f"KIND_{row.kind.upper()}"
    return f"    {{{texts}, {kind},\n     {numbers}, {text}, {choices}, {flags}}},"


def _index(name: str) -> str:
    return f"ROW_{name.upper()}"


def _text(value: str) -> str:
    return json.dumps(value)  # of ASCII, JSON's escapes are C's


def page() -> str:
    """docs/openfx.md."""
    lines = []
    for group in dict.fromkeys(row.group for row in node_rows()):
        lines += [f"### {group}", "", "| name | default | values | what it does |"]
        lines += ["|---|---|---|---|"]
        lines += [_page_line(row) for row in node_rows() if row.group == group]
        lines.append("")
    made = (
        "Made by `install/ofx_header.py` from `install/ofx_page.in.md` and the tables; edit those."
    )
    text = TEMPLATE.read_text(encoding="utf-8")
    return text.format(made=made, folders=_folders(), rows="\n".join(lines).rstrip())


def _folders() -> str:
    """Where hosts look, as a table."""
    lines = ["| host | looks in | and in `OFX_PLUGIN_PATH` |", "|---|---|---|"]
    for host in HOSTS:
        places = ", ".join(f"`{folder}`" for folder in host.folders)
        lines.append(f"| {host.hosts} | {places} | {'yes' if host.reads_variable else 'no'} |")
    return "\n".join(lines)


def _page_line(row: NodeRow) -> str:
    default = row.default if isinstance(row.default, str) else f"{row.default:g}"
    if row.kind in ("file", "folder"):
        default = "none"
    values = {"file": "a file", "folder": "a folder", "text": "a text", "point": "x, y"}.get(
        row.kind
    )
    if row.kind == "bool":
        values, default = "yes, no", "yes" if row.default else "no"
    elif row.choices:
        values = ", ".join(row.choices)
    elif values is None:
        values = f"[{row.hard[0]:.10g} to {row.hard[1]:.10g}]"
    keyed = "" if row.animates else " Not keyframable."
    return f"| `{row.name}` | {default} | {values} | {row.hint}.{keyed} |"


def kdenlive() -> str:
    """kdenlive.xml."""
    return kdenlive_effect.render(node_rows())


PAGES = {HEADER: header, PAGE: page, KDENLIVE: kdenlive}


def main() -> int:
    stale = []
    for path, render in PAGES.items():
        text = render()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv[1:]:
            stale.append(path.name)
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        again = "python install/ofx_header.py"
        print(f"{' and '.join(stale)} out of date; run: {again}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
