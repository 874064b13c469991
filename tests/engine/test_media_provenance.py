"""Provenance inside images: other libraries read it, pixels stay as they are."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image

from facegraft.media.images import encode_image, read_image_file
from facegraft.media.provenance import Provenance

ABOUT = Provenance("Face replaced, model <A> & Zoë.", "http://cv.iptc.org/newscodes/test")
DC = "{http://purl.org/dc/elements/1.1/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def noise(dtype=np.uint8, channels=3):
    full = 3 if dtype == np.float32 else np.iinfo(dtype).max
    return (np.random.default_rng(0).random((31, 45, channels)) * full).astype(dtype)


def packet_in(data: bytes, suffix: str) -> bytes:
    """The XMP packet as Pillow or tifffile find it."""
    if suffix == ".tif":
        return tifffile.TiffFile(io.BytesIO(data)).pages.first.tags[700].value
    info = Image.open(io.BytesIO(data)).info
    found = info["xmp"] if "xmp" in info else info["XML:com.adobe.xmp"]
    return found if isinstance(found, bytes) else found.encode()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_other_libraries_find_description_and_source_type(suffix):
    packet = packet_in(encode_image(suffix, noise(), about=ABOUT), suffix)
    tree = ElementTree.fromstring(packet.decode().removeprefix("\ufeff"))
    assert tree.findtext(f".//{DC}description/{RDF}Alt/{RDF}li") == ABOUT.text
    assert tree.findtext(f".//{IPTC}DigitalSourceType") == ABOUT.source_type


def test_a_tiffs_description_is_ascii_as_the_format_asks():
    data = encode_image(".tif", noise(), about=ABOUT)
    page = tifffile.TiffFile(io.BytesIO(data)).pages.first
    assert page.description == "Face replaced, model <A> & Zo?."


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tif", np.uint16),
     (".tif", np.float32)],
)  # fmt: skip
@pytest.mark.parametrize("with_alpha", [False, True])
def test_pixels_and_straight_alpha_are_untouched(tmp_path, suffix, dtype, with_alpha):
    pixels = noise(dtype)
    alpha = noise(dtype, 1)[..., 0] if with_alpha else None
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode_image(suffix, pixels, alpha, about=ABOUT))
    read, read_alpha = read_image_file(path)
    np.testing.assert_array_equal(read, pixels)
    if with_alpha:
        np.testing.assert_array_equal(read_alpha, alpha)
    else:
        assert read_alpha is None


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_pictures_are_the_same_with_and_without(tmp_path, suffix):
    for name, about in (("with", ABOUT), ("without", None)):
        (tmp_path / f"{name}{suffix}").write_bytes(encode_image(suffix, noise(), about=about))
    first, second = (read_image_file(tmp_path / f"{n}{suffix}")[0] for n in ("with", "without"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiffs_that_call_their_alpha_straight_are_not_multiplied_by_it(tmp_path, dtype):
    """OpenCV does so with 8 bit; tifffile writes what such a file looks like."""
    rgba = noise(dtype, 4)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
    pixels, alpha = read_image_file(path)
    assert alpha is not None
    np.testing.assert_array_equal(np.dstack([pixels, alpha]), rgba)
    data = encode_image(".tif", rgba[..., :3], np.ascontiguousarray(rgba[..., 3]))
    page = tifffile.TiffFile(io.BytesIO(data)).pages.first
    assert page.extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)


def test_a_tiff_cut_anywhere_gives_an_error_of_ours(tmp_path):
    from facegraft.errors import UnreadableMedia

    data = encode_image(".tif", noise(), about=ABOUT)
    for length in range(1, len(data), 997):
        (tmp_path / "a.tif").write_bytes(data[:length])
        with pytest.raises(UnreadableMedia, match=r"a\.tif"):
            read_image_file(tmp_path / "a.tif")
