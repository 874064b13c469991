"""The OpenFX bundle as a package: it lies beside this file; `facegraft ofx install` copies it to
where hosts look.
"""

from pathlib import Path

BUNDLE = Path(__file__).parent / "FaceGraft.ofx.bundle"
