"""Opens the detector's networks in onnxruntime, with threads kept few.

The networks are small: a second thread gains little and competes with decoding, encoding and
other frames, so the default is half the cores and at most four.
"""

import os
from pathlib import Path
from typing import Any

from facegraft.errors import BadWeights, MissingExtra

_MOST_THREADS = 4  # the largest network, 960 px wide, stops gaining there


def open_session(path: Path, threads: int = 0) -> Any:
    """An onnxruntime.InferenceSession on the CPU; `threads` 0 chooses.

    Raises: MissingExtra without onnxruntime, BadWeights if the file is not a network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            "finding faces needs onnxruntime; run: pip install 'facegraft[cpu]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or max(1, min(_MOST_THREADS, (os.cpu_count() or 2) // 2))
    options.inter_op_num_threads = 1
    # waiting threads sleep instead of spinning: other work of the same frame runs beside this
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only; the graph optimizer is chatty at warnings
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes, one per status code
        raise BadWeights(
            f"{path} cannot be loaded ({str(error).splitlines()[0]}). "
            "Run: facegraft weights fetch --force"
        ) from error
