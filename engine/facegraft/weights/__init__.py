"""Weight files of the detectors: which there are, where they live, how they get there.

Nothing is downloaded while the engine works; `fetch` runs at install time.
"""

from facegraft.weights.install import fetch, fetch_published, import_file
from facegraft.weights.registry import (
    WEIGHTS,
    State,
    WeightFile,
    WeightStatus,
    checkpoints_folder,
    data_folder,
    find,
    list_weights,
    require,
    verify,
)

__all__ = [
    "WEIGHTS",
    "State",
    "WeightFile",
    "WeightStatus",
    "checkpoints_folder",
    "data_folder",
    "fetch",
    "fetch_published",
    "find",
    "import_file",
    "list_weights",
    "require",
    "verify",
]
