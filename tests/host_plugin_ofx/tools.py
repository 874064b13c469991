"""The installer's modules that the node is built with, imported from their own folder."""

import importlib
import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parents[2] / "install")
if _FOLDER not in sys.path:
    sys.path.append(_FOLDER)

build_ofx_bundle = importlib.import_module("build_ofx_bundle")
ofx_header = importlib.import_module("ofx_header")
