"""The effect file for Kdenlive, against the node's own table."""

from xml.etree import ElementTree

import pytest

from tests.host_plugin_ofx.tools import ofx_header

ROWS = {row.name: row for row in ofx_header.node_rows()}


@pytest.fixture(scope="module")
def effect() -> ElementTree.Element:
    """As committed; another test holds that it is the generated one."""
    return ElementTree.parse(ofx_header.KDENLIVE).getroot()


@pytest.fixture(scope="module")
def parameters(effect) -> dict[str, ElementTree.Element]:
    return {parameter.attrib["name"]: parameter for parameter in effect.iter("parameter")}


def test_the_effect_takes_the_place_of_the_filter(effect):
    """Of the same id, so that Kdenlive does not show the node twice."""
    service = "openfx.org.facegraft.faceswap"
    assert effect.attrib == {"tag": service, "id": service, "type": "video"}
    assert effect.findtext("name") == "FaceGraft" and effect.findtext("description")


def test_every_row_is_there_once_in_order_with_its_label_and_hint(effect, parameters):
    assert list(parameters) == list(ROWS) and len(list(effect.iter("parameter"))) == len(ROWS)
    for name, row in ROWS.items():
        assert parameters[name].findtext("name") == f"{row.group}: {row.label}"
        assert parameters[name].findtext("comment") == row.hint


def test_numbers_have_their_range_default_and_keyframes(parameters):
    numbers = [row for row in ROWS.values() if row.kind in ("int", "double")]
    assert numbers
    for row in numbers:
        found = parameters[row.name].attrib
        assert found["type"] == ("animated" if row.animates else "constant")
        assert (float(found["min"]), float(found["max"])) == pytest.approx(row.hard)
        shown = (float(found["visualmin"]), float(found["visualmax"]))
        assert shown == pytest.approx(row.soft or row.hard)
        assert float(found["default"]) == pytest.approx(float(row.default))
        assert (found["decimals"] == "0") == (row.kind == "int")


def test_choices_are_given_by_their_label_which_is_what_mlt_takes(parameters):
    choices = [row for row in ROWS.values() if row.choices]
    assert choices
    for row in choices:
        found = parameters[row.name]
        assert found.attrib["type"] == "list" and found.attrib["default"] == row.default
        assert tuple(found.attrib["paramlist"].split(";")) == row.choices
        assert tuple(found.findtext("paramlistdisplay", "").split(",")) == row.choices


def test_the_other_kinds_have_the_widget_that_takes_them(parameters):
    """A folder is a line of text: Kdenlive's file widget gives files alone."""
    widgets = {"bool": "bool", "point": "animatedpoint", "file": "url"}
    widgets |= {"folder": "keywords", "text": "keywords"}
    for row in ROWS.values():
        if row.kind in widgets:
            assert parameters[row.name].attrib["type"] == widgets[row.kind]
    assert parameters["model"].attrib["filter"] == "Model (*.dfm)"
    assert parameters["frame_name"].attrib["default"] == ROWS["frame_name"].default
