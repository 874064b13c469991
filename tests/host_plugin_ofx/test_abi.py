"""The hand-written OpenFX header against the published binary interface."""

import re
import subprocess

import pytest

from tests.host_plugin_ofx.tools import build_ofx_bundle

HEADER = (build_ofx_bundle.SOURCES / "ofx_abi.h").read_text()
POINTER = 8
# how many functions each suite has, in the standard
SUITES = {
    "OfxPropertySuiteV1": 18,
    "OfxImageEffectSuiteV1": 13,
    "OfxParameterSuiteV1": 18,
    "OfxMessageSuiteV1": 1,
    "OfxMessageSuiteV2": 3,
}
# places of functions by their number in the standard's own order
PLACES = {
    "OfxPropertySuiteV1": {
        "propSetPointer": 0,
        "propSetString": 1,
        "propSetDouble": 2,
        "propSetInt": 3,
        "propSetDoubleN": 6,
        "propGetPointer": 8,
        "propGetString": 9,
        "propGetDouble": 10,
        "propGetInt": 11,
        "propGetDoubleN": 14,
        "propGetIntN": 15,
        "propGetDimension": 17,
    },
    "OfxImageEffectSuiteV1": {
        "getPropertySet": 0,
        "getParamSet": 1,
        "clipDefine": 2,
        "clipGetHandle": 3,
        "clipGetPropertySet": 4,
        "clipGetImage": 5,
        "clipReleaseImage": 6,
        "clipGetRegionOfDefinition": 7,
        "abort": 8,
        "imageMemoryUnlock": 12,
    },
    "OfxParameterSuiteV1": {
        "paramDefine": 0,
        "paramGetHandle": 1,
        "paramGetValue": 4,
        "paramGetValueAtTime": 5,
        "paramSetValue": 8,
        "paramGetNumKeys": 10,
        "paramCopy": 15,
        "paramEditEnd": 17,
    },
    "OfxMessageSuiteV2": {"message": 0, "setPersistentMessage": 1, "clearPersistentMessage": 2},
}
# byte offsets on a machine of 64 bits
OFFSETS = {
    "OfxPlugin": {
        "pluginApi": 0,
        "apiVersion": 8,
        "pluginIdentifier": 16,
        "pluginVersionMajor": 24,
        "pluginVersionMinor": 28,
        "setHost": 32,
        "mainEntry": 40,
    },
    "OfxHost": {"host": 0, "fetchSuite": 8},
    "OfxRectI": {"x1": 0, "y1": 4, "x2": 8, "y2": 12},
    "OfxRectD": {"x1": 0, "y1": 8, "x2": 16, "y2": 24},
}
SIZES = {"OfxPlugin": 48, "OfxHost": 16, "OfxRectI": 16, "OfxRectD": 32}
# where a text is not its constant's name without the k
EXCEPTIONS = {
    "kOfxImageEffectPluginApi": "OfxImageEffectPluginAPI",
    "kOfxImageEffectPropSupportsMultipleClipDepths": "OfxImageEffectPropMultipleClipDepths",
    "kOfxImagePreMultiplied": "OfxImageAlphaPremultiplied",
    "kOfxImageUnPreMultiplied": "OfxImageAlphaUnPremultiplied",
    "kOfxImageEffectSimpleSourceClipName": "Source",
    "kOfxImageEffectOutputClipName": "Output",
}
STATUS = {
    "kOfxStatOK": 0,
    "kOfxStatFailed": 1,
    "kOfxStatErrMissingHostFeature": 4,
    "kOfxStatErrMemory": 8,
    "kOfxStatErrBadHandle": 9,
    "kOfxStatReplyDefault": 14,
    "kOfxStatErrImageFormat": 1000,
}


@pytest.fixture(scope="module")
def measured(compiled) -> dict[str, int]:
    """Sizes and offsets as the compiler lays the structures out."""
    asked = [(f"{name}", f"sizeof({name})") for name in (*SIZES, *SUITES)]
    for table in (OFFSETS, PLACES):
        for name, members in table.items():
            asked += [(f"{name}.{m}", f"offsetof({name}, {m})") for m in members]
    lines = "".join(f'printf("{name} %zu\\n", (size_t){value});\n' for name, value in asked)
    text = (
        f'#include <stddef.h>\n#include <stdio.h>\n#include "ofx_abi.h"\nint main(void) {{{lines}}}'
    )
    printed = subprocess.check_output([str(compiled(text, []))], text=True, timeout=60)
    return {name: int(value) for name, value in map(str.split, printed.splitlines())}


def test_structures_have_the_standard_s_sizes_and_offsets(measured):
    for name, size in SIZES.items():
        assert measured[name] == size, name
    for name, members in OFFSETS.items():
        assert {m: measured[f"{name}.{m}"] for m in members} == members, name


def test_suites_hold_their_functions_in_the_standard_s_order(measured):
    for name, count in SUITES.items():
        assert measured[name] == count * POINTER, name
    for name, members in PLACES.items():
        found = {m: measured[f"{name}.{m}"] // POINTER for m in members}
        assert found == members, name


def test_texts_are_their_constants_names_without_the_k():
    """But for the standard's own exceptions."""
    texts = dict(re.findall(r'#define (kOfx\w+) "([^"]+)"', HEADER))
    assert len(texts) > 80
    for name, text in texts.items():
        assert text == EXCEPTIONS.get(name, name[1:]), name


def test_statuses_have_the_standard_s_numbers():
    found = {name: int(value) for name, value in re.findall(r"#define (kOfxStat\w+) (\d+)", HEADER)}
    assert found == STATUS
