"""Which packages a program's folder is made of; nothing is fetched here."""

from tests.host_plugin_ofx.debian import closure

AVAILABLE = """Package: player
Depends: libpicture2 (>= 2.0), libsound1 | libsilence1, fonts-nice
Pre-Depends: libc6

Package: libpicture2
Depends: mesa-libgallium (= 26), libc6 (>= 2.43), ocl-icd-libopencl1

Package: libsound1
Depends: player, libvirtual

Package: libsilence1

Package: libc6

Package: fonts-nice

Package: ocl-icd-libopencl1

Package: mesa-libgallium
"""


def test_a_program_comes_with_the_libraries_it_needs_and_nothing_else():
    """The first of alternatives; no fonts, no graphics drivers, no name that no package has."""
    every = closure(["player"], lambda package, name: True, AVAILABLE)
    assert every == ["libc6", "libpicture2", "libsound1", "ocl-icd-libopencl1", "player"]


def test_a_package_s_needs_can_be_narrowed():
    few = closure(["player"], lambda package, name: package != "player" or "pic" in name, AVAILABLE)
    assert few == ["libc6", "libpicture2", "ocl-icd-libopencl1", "player"]
