"""What the process tells a shell or a render farm by its exit code.

0    done
1    failed: an error that is none of the others
2    wrong usage of the command line
3    bad input: a value, a clip, a faceset, a model or a network that cannot be used
4    done, but frames were without a face, where --fail-without-face asks
5    out of disk, or over a quota; free some and run again with --skip-existing
130  stopped by Ctrl-C, or by SIGTERM; what is done is kept
"""

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
