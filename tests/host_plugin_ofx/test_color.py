"""What the node says and believes of a host's colours (OpenFX 1.5's colour management)."""

import numpy as np
import pytest

from facegraft.media.working_space import open_space
from facegraft_cli.ofx_host import GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.scene import Scene, codes

STYLE = "OfxImageEffectPropColourManagementStyle"
CONFIGS = "OfxImageEffectPropColourManagementAvailableConfigs"
PREFERRED = "OfxImageClipPropPreferredColourspaces_Source"
# the host's word, and the engine's
KNOWN = [
    ("lin_rec709_srgb", "linear_rec709"),
    ("ofx_scene_linear", "linear_rec709"),
    ("ACEScg", "acescg"),
    ("ACES2065-1", "aces2065_1"),
    ("lin_rec2020", "linear_rec2020"),
    ("rec2100_pq_display", "rec2100_pq"),
    ("rec2100_hlg_display", "rec2100_hlg"),
    ("srgb_tx", "display"),
    ("srgb_display", "display"),
    ("rec1886_rec709_display", "display"),
    ("g24_rec709_tx", "display"),
    ("ofx_display_sdr", "display"),
]


@pytest.fixture(scope="module")
def host(library, tmp_path_factory) -> OfxHost:
    copy = tmp_path_factory.mktemp("managed") / "Managed.ofx"
    copy.write_bytes(library.read_bytes())
    return OfxHost(copy, style="Core")


def swapped(host: OfxHost, values: dict, word: str, pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """(H, W, 3) of the output, and the message that is shown with it."""
    output = Picture.of(np.zeros_like(pixels))
    with host.create(GENERAL, values) as instance:
        instance.set_colour(word)
        assert instance.render(0.0, Picture.of(pixels), output) == OK, instance.effect.messages
        return output.pixels[..., :3], instance.effect.shown


def in_space(scene: Scene, pixels: np.ndarray, name: str) -> np.ndarray:
    """(H, W, 3): the swap of this frame by the engine in this process."""
    space = open_space(name)
    rgb = np.ascontiguousarray(pixels[..., :3])
    return space.from_display(scene.merged(space.to_display(rgb))[0])


@pytest.mark.parametrize(("word", "name"), KNOWN)
def test_auto_takes_the_pixels_for_what_the_host_says(host, scene: Scene, word, name):
    """In integers as well, since the host knows best."""
    pixels = codes("f4")
    expected = in_space(scene, pixels, name)
    out, shown = swapped(host, scene.values(), word, pixels)
    assert np.abs(expected - out).max() < 5e-5 and shown == ""
    out, _ = swapped(host, scene.values(), word, codes("u2"))
    assert np.abs(np.clip(expected, 0, 1) - out / 65535).max() < 2e-4


def test_an_explicit_choice_wins_over_the_host_s_word(host, scene: Scene):
    pixels = codes("f4")
    out, shown = swapped(host, scene.values(input_color="display"), "ACEScg", pixels)
    assert np.abs(in_space(scene, pixels, "display") - out).max() < 1e-5 and shown == ""


def test_a_word_that_the_engine_does_not_know_is_told_and_pixels_are_as_without_one(
    host, scene: Scene
):
    """A log encoding, say; the frame is swapped."""
    pixels = codes("f4")
    out, shown = swapped(host, scene.values(), "ACEScct", pixels)
    assert np.abs(in_space(scene, pixels, "display") - out).max() < 1e-5
    assert "ACEScct" in shown and "taken for display" in shown and "Input color" in shown
    out, shown = swapped(host, scene.values(input_color="display"), "ACEScct", pixels)
    assert shown == ""


def test_a_host_that_says_nothing_is_served_as_before(host, scene: Scene):
    pixels = codes("f4")
    out, shown = swapped(host, scene.values(), "", pixels)
    assert np.abs(in_space(scene, pixels, "display") - out).max() < 1e-5 and shown == ""


def test_the_node_tells_hosts_that_ask_how_it_manages_colour(host, fresh_library, tmp_path):
    """And says nothing to hosts that know of none, or have it turned off."""
    found = host.descriptor.properties.values
    assert found[STYLE] == ["OfxImageEffectColourManagementCore"]
    assert found[CONFIGS] == ["ofx-native-v1.5_aces-v1.3_ocio-v2.3"]
    other = tmp_path / "Other.ofx"
    other.write_bytes(fresh_library.read_bytes())
    for without in (OfxHost(fresh_library), OfxHost(other, style="None")):
        assert not {STYLE, CONFIGS} & set(without.descriptor.properties.values)
        with without.create(GENERAL, {}) as instance:
            assert instance.preferences() == {}


def test_the_node_asks_for_spaces_that_it_has_and_first_for_the_one_it_is_given(host):
    """So that nothing is converted without need. An explicit choice asks for none."""
    with host.create(GENERAL, {}) as instance:
        asked = instance.preferences()[PREFERRED]
        assert {word for word, _ in KNOWN} <= set(asked) and asked[0] == "lin_rec709_srgb"
        for word in ("ACEScg", "rec1886_rec709_display"):
            instance.set_colour(word)
            again = instance.preferences()[PREFERRED]
            assert again[0] == word and sorted(again) == sorted(asked)
        instance.set_colour("ACEScct")
        assert instance.preferences()[PREFERRED] == asked
    with host.create(GENERAL, {"input_color": "acescg"}) as instance:
        assert instance.preferences() == {}


def test_a_host_of_generic_names_is_asked_for_generic_names(fresh_library):
    with OfxHost(fresh_library, style="Basic").create(GENERAL, {}) as instance:
        assert instance.preferences()[PREFERRED] == ["ofx_scene_linear", "ofx_display_sdr"]


def test_the_output_is_of_the_source_s_colour_and_the_matte_of_none(host):
    for output, word in (
        ("result", "OfxColourspace_Source"),
        ("face", "OfxColourspace_Source"),
        ("matte", "ofx_raw"),
    ):
        with host.create(GENERAL, {"output": output}) as instance:
            assert instance.output_colour() == word


def test_what_the_node_says_of_its_clips_hangs_on_two_parameters(host):
    """A host asks again when one of them changes."""
    found = host.descriptor.properties.values["OfxImageEffectPropClipPreferencesSlaveParam"]
    assert found == ["output", "input_color"]
