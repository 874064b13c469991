"""The engine's worker, which also writes down the values that a host asks of it.

    python recording_worker.py LOG WORKER_ARGUMENT...

LOG gets a line of JSON for each frame: its number and its merge parameters.
"""

import json
import sys
from pathlib import Path
from typing import Any

from facegraft.worker import server, session

_parse = session.parse_merge  # pyright: ignore[reportPrivateImportUsage]


def _recorded(message: dict[str, Any]) -> Any:
    values = {"frame": message["frame"], "params": message["params"]}
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(values) + "\n")
    return _parse(message)


if __name__ == "__main__":
    session.parse_merge = _recorded  # pyright: ignore[reportPrivateImportUsage]
    server.main(sys.argv[2:])
