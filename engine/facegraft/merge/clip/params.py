"""ClipParams: what is decided once for a whole clip, before its frames are merged.

Command line and hosts make their options from this table, as from MergeParams; these rows cannot be
keyed, since each looks along time itself. Standard library only: hosts import it into their own
Python. Rows are append-only.
"""

from dataclasses import dataclass

from facegraft.controls import control

# of MergeParams, which a seat is added to (seat.py)
SEAT_ROWS = ("face_offset_x", "face_offset_y", "face_scale", "face_rotation")

_FACES, _TRACKS, _REPORT = "Faces", "Tracks", "Report"


@dataclass(frozen=True, slots=True)
class ClipParams:
    """Which faces, and how they are carried through time; see `choose.py` and `steady.py`."""

    choose: str = control(
        "all",
        label="Choose",
        help="Which faces: all; largest:1; track:1,3 (numbers from `facegraft faceset tracks`); "
        "near:0.5,0.4 (nearest to a point, 0 to 1 of the frame from its top left); left:1 (first "
        "from the left); like:ada.png (who resembles a picture or a folder of them; needs a face "
        "recognition model)",
        group=_FACES,
        animatable=False,
    )
    likeness: float = control(
        0.35,
        label="Likeness",
        help="Least cosine similarity to the pictures of like:",
        hard=(-1.0, 1.0),
        soft=(0.0, 1.0),
        group=_FACES,
        animatable=False,
    )
    min_confidence: float = control(
        0.0,
        label="Min confidence",
        help="Leave out faces that the detector was less sure of",
        hard=(0.0, 1.0),
        group=_FACES,
        animatable=False,
    )
    steady: float = control(
        1.0,
        label="Steady",
        help="Smooth the landmarks along each track by a Gaussian over time that does not lag; 0 "
        "keeps what the network gave",
        hard=(0.0, 10.0),
        soft=(0.0, 5.0),
        unit="frames",
        group=_TRACKS,
        animatable=False,
    )
    steady_crop: float = control(
        0.0,
        label="Steady crop",
        help="Smooth size and tilt of the face's square further than its landmarks, for faces that "
        "pump or rock; more than 2 begins to lag behind real turns",
        hard=(0.0, 50.0),
        soft=(0.0, 15.0),
        unit="frames",
        group=_TRACKS,
        animatable=False,
    )
    hold: int = control(
        0,
        label="Hold",
        help="Bridge gaps of up to this many frames where a face was lost, or its image deleted "
        "from the faceset, by moving it from where it was to where it comes back",
        hard=(0, 5),
        unit="frames",
        group=_TRACKS,
        animatable=False,
    )
    report_jump: float = control(
        6.0,
        label="Report jump",
        help="Report a frame whose landmarks jump this many times as far as usual in its track",
        hard=(1.0, 100.0),
        soft=(2.0, 20.0),
        group=_REPORT,
        animatable=False,
    )
    report_confidence: float = control(
        0.5,
        label="Report confidence",
        help="Report a frame whose face the detector was less sure of",
        hard=(0.0, 1.0),
        group=_REPORT,
        animatable=False,
    )
