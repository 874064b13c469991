"""The OpenFX node as an effect file of Kdenlive: host_plugin/ofx/kdenlive.xml.

Kdenlive makes an interface of what MLT tells of a filter, but one without keyframes, file dialogues
or groups. An effect file in the user's `kdenlive/effects` folder, whose id is the filter's, takes
its place. `install/ofx_header.py` writes it with the other files of the table.

Kdenlive has keyframes for numbers and points; a choice or a switch holds for the whole clip. Its
file widget keeps existing files alone, so that a folder is a line of text, as names are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from ofx_header import NodeRow

SERVICE = "openfx.org.facegraft.faceswap"  # MLT's name of the filter
ABOUT = "Swaps the faces of the clip with a trained model; the FaceGraft engine must be installed"
DECIMALS = 3
ENDINGS = {  # which files the dialogue shows
    "model": "*.dfm",
    "segmenter": "*.onnx",
    "enhancer": "*.onnx",
    "recognition": "*.onnx",
    "fits": "*.zip",
    "face_reference": "*.png *.jpg *.jpeg *.tif *.tiff *.webp *.bmp",
}


def render(rows: tuple[NodeRow, ...]) -> str:
    """The effect file as text."""
    effect = ElementTree.Element("effect", {"tag": SERVICE, "id": SERVICE, "type": "video"})
    _add(effect, "name", "FaceGraft")
    _add(effect, "description", ABOUT)
    _add(effect, "author", "FaceGraft")
    for row in rows:
        parameter = ElementTree.SubElement(effect, "parameter", attributes(row))
        if row.choices:
            _add(parameter, "paramlistdisplay", ",".join(row.choices))
        _add(parameter, "name", f"{row.group}: {row.label}")
        _add(parameter, "comment", row.hint)
    ElementTree.indent(effect)
    made = "<!-- Made by install/ofx_header.py from the option tables; edit those. -->"
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE kpartgui>\n{made}\n'
    return head + ElementTree.tostring(effect, encoding="unicode") + "\n"


def attributes(row: NodeRow) -> dict[str, str]:
    """Of the `<parameter>` of a row. Raises: KeyError for a file that ENDINGS lacks."""
    named = {"name": row.name}
    match row.kind:
        case "int" | "double":
            low, high = row.soft or row.hard
            return named | {
                "type": "animated" if row.animates else "constant",
                "default": f"{row.default:.10g}",
                "min": f"{row.hard[0]:.10g}",
                "max": f"{row.hard[1]:.10g}",
                "visualmin": f"{low:.10g}",
                "visualmax": f"{high:.10g}",
                "decimals": "0" if row.kind == "int" else str(DECIMALS),
            }
        case "bool":
            return named | {"type": "bool", "default": str(int(bool(row.default)))}
        case "choice":
            return named | {
                "type": "list",
                "default": str(row.default),
                "paramlist": ";".join(row.choices),
            }
        case "point":
            return named | {"type": "animatedpoint", "default": "0 0"}
        case "file":
            shown = f"{row.label} ({ENDINGS[row.name]})"
            return named | {"type": "url", "default": "", "filter": shown}
        case _:  # a text or a folder; "keywords" is Kdenlive's line of text
            text = row.default if isinstance(row.default, str) else ""
            return named | {"type": "keywords", "default": text}


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text
