"""The node as it describes itself, against the engine's own table."""

import pytest

from facegraft.controls import controls_of
from facegraft.merge.params import MergeParams
from facegraft_cli.ofx_host import FILTER, GENERAL, OfxHost
from tests.host_plugin_ofx.tools import ofx_header

TYPES = {bool: "OfxParamTypeBoolean", int: "OfxParamTypeInteger", float: "OfxParamTypeDouble"}
OWN = {row.name: row for row in ofx_header.OWN}


@pytest.fixture(scope="module")
def host(library) -> OfxHost:
    return OfxHost(library)


@pytest.fixture(scope="module")
def params(host):
    return host.describe(GENERAL).params


def value(param, name):
    return param.properties.values[f"OfxParamProp{name}"]


def test_the_generated_header_and_page_are_current():
    """After a change of MergeParams: python install/ofx_header.py."""
    for path, render in ofx_header.PAGES.items():
        assert path.read_text(encoding="utf-8") == render()


def test_every_row_of_the_merge_is_a_parameter_with_its_type_range_and_default(params):
    for row in controls_of(MergeParams):
        param = params[row.name]
        assert param.properties.values["OfxPropLabel"] == [row.control.label]
        assert value(param, "Hint")[0].startswith(row.control.help)
        assert value(param, "Animates") == [int(row.control.animatable)]
        if row.choices:
            assert param.kind == "OfxParamTypeChoice"
            assert value(param, "ChoiceOption") == value(param, "ChoiceEnum") == [*row.choices]
            assert row.choices[value(param, "Default")[0]] == row.default
            continue
        assert param.kind == TYPES[row.type] and value(param, "Default") == [row.default]
        if row.type is not bool:
            limits = value(param, "Min") + value(param, "Max")
            assert tuple(limits) == row.control.hard
            shown = value(param, "DisplayMin") + value(param, "DisplayMax")
            assert tuple(shown) == row.slider


def test_the_node_has_no_other_parameters_than_the_table_s_and_its_own(params):
    controls = {name for name, p in params.items() if p.kind[12:] not in ("Group", "Page")}
    assert controls == {row.name for row in controls_of(MergeParams)} | set(OWN)


def test_parameters_lie_in_groups_that_exist_and_on_one_page(params):
    groups = {name for name, param in params.items() if param.kind == "OfxParamTypeGroup"}
    controls = [n for n, p in params.items() if "OfxParamPropParent" in p.properties.values]
    assert {value(params[name], "Parent")[0] for name in controls} == groups
    assert value(params["page_main"], "PageChild") == controls
    assert list(params)[: len(groups)] == [name for name in params if name in groups]


def test_files_are_chosen_with_a_dialogue_and_do_not_animate(params):
    for name, mode in (("model", "FilePath"), ("faceset", "DirectoryPath")):
        assert value(params[name], "StringMode") == [f"OfxParamStringIs{mode}"]
        assert value(params[name], "StringFilePathExists") == [1]  # else it is one to write
        assert value(params[name], "Animates") == [0]


def test_the_point_is_in_canonical_pixels_of_the_picture(params):
    point = params["face_point"]
    assert value(point, "DefaultCoordinateSystem") == ["OfxParamCoordinatesCanonical"]
    assert value(point, "DoubleType") == ["OfxParamDoubleTypeXYAbsolute"]


def test_names_and_choices_are_what_every_host_can_store(params):
    """ASCII, not one of a host's own property names, and free of the signs of keyframes."""
    for name, param in params.items():
        assert name.isascii() and name not in ofx_header.RESERVED
        for choice in param.properties.values.get("OfxParamPropChoiceOption", []):
            assert choice.isascii() and not set(choice) & set(";=|~ ")


def test_a_filter_has_one_input_and_the_general_node_a_mask(host):
    assert list(host.describe(FILTER).clips) == ["Source", "Output"]
    clips = host.describe(GENERAL).clips
    assert list(clips) == ["Source", "Output", "Mask"]
    mask = clips["Mask"].properties.values
    assert mask["OfxImageClipPropOptional"] == mask["OfxImageClipPropIsMask"] == [1]
    for name in ("Source", "Output"):
        kinds = clips[name].properties.values["OfxImageEffectPropSupportedComponents"]
        assert kinds == ["OfxImageComponentRGBA", "OfxImageComponentRGB"]


def test_the_node_describes_what_it_can(host):
    """Whole frames, from any thread, byte, short, half and float."""
    found = host.descriptor.properties.values
    assert found["OfxImageEffectPropSupportedContexts"] == [FILTER, GENERAL]
    depths = [name[11:] for name in found["OfxImageEffectPropSupportedPixelDepths"]]
    assert depths == ["Byte", "Short", "Half", "Float"]
    assert found["OfxImageEffectPluginRenderThreadSafety"] == ["OfxImageEffectRenderFullySafe"]
    assert found["OfxImageEffectPropSupportsTiles"] == [0]
    assert found["OfxImageEffectPropSupportsMultiResolution"] == [1]
    assert host.plugin.api == b"OfxImageEffectPluginAPI" and host.plugin.api_version == 1
    assert host.plugin.identifier == b"org.facegraft.faceswap"


def test_a_host_without_a_suite_that_the_node_needs_is_refused(fresh_library):
    for suite in ("OfxPropertySuite", "OfxImageEffectSuite", "OfxParameterSuite"):
        with pytest.raises(RuntimeError, match="OfxActionLoad gave status 4"):
            OfxHost(fresh_library, without=(suite,))
