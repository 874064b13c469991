"""What the process tells a shell or a render farm by its exit code; MEANINGS is the list."""

import errno

from facegraft.errors import (
    Cancelled,
    DflFormatError,
    FacegraftError,
    FacesetError,
    ModelError,
    ParameterError,
    ParityError,
    SourceNotFound,
    UnreadableMedia,
    WeightsError,
)

DONE = 0
FAILED = 1
USAGE = 2
BAD_INPUT = 3
WITHOUT_FACE = 4
OUT_OF_DISK = 5
STOPPED = 130

MEANINGS = {  # docs/merge.md shows them
    DONE: "done",
    FAILED: "failed: an error that is none of the others",
    USAGE: "wrong usage of the command line",
    BAD_INPUT: "bad input: a value, a clip, a faceset, a model or a network that cannot be used",
    WITHOUT_FACE: "done, but frames were without a face, where `--fail-without-face` asks",
    OUT_OF_DISK: "out of disk, or over a quota; free some and run again with `--skip-existing`",
    STOPPED: "stopped by Ctrl-C or SIGTERM; finished images are kept",
}

_BAD_INPUT = (
    ParameterError,
    SourceNotFound,
    UnreadableMedia,
    FacesetError,
    WeightsError,
    ModelError,
    DflFormatError,
)


def exit_code_of(error: FacegraftError) -> int:
    """The code for an error of ours."""
    if isinstance(error, Cancelled):
        return STOPPED
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OUT_OF_DISK
    if isinstance(error, _BAD_INPUT) and not isinstance(error, ParityError):
        return BAD_INPUT
    return FAILED
