"""What a model is: the same JSON in checkpoints, in ONNX metadata and in the worker's greeting.

Torch-free, so that hosts can read a model's shape without its networks.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from facegraft.errors import FutureVersion, ParameterError

SPEC_VERSION = 2  # 1 had no inter_dims
METADATA_KEY = "facegraft_spec"  # where an ONNX file keeps its spec
RECORD_KEY = "facegraft_record"  # where it keeps licence and consent


class FaceType(StrEnum):
    """How much of the head a square holds, from the smallest to the largest (DFL's types)."""

    HALF = "half"
    MID_FULL = "mid_full"
    FULL = "full"
    WHOLE_FACE = "whole_face"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Architecture and framing of one autoencoder. Dims are feature counts as DFL names them."""

    architecture: str  # "df-ud", "liae-u", "amp": family, then option letters
    resolution: int  # px, side of the square that goes in and comes out
    face_type: FaceType
    ae_dims: int
    e_dims: int
    d_dims: int
    d_mask_dims: int
    inter_dims: int = 0  # amp's own; the other families have none

    @property
    def family(self) -> str:
        return self.architecture.partition("-")[0]

    @property
    def options(self) -> frozenset[str]:
        return frozenset(self.architecture.partition("-")[2])

    def to_json(self) -> str:
        return json.dumps({"version": SPEC_VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Of this version or an older one.

        Raises: ParameterError for a malformed spec, FutureVersion for a newer one.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            version = values.pop("version")
            if version > SPEC_VERSION:
                raise FutureVersion(
                    f"the model's spec has version {version}, this FaceGraft reads up to "
                    f"{SPEC_VERSION}; update FaceGraft"
                )
            return cls(**{**values, "face_type": FaceType(values["face_type"])})
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, FutureVersion):
                raise
            raise ParameterError(f"not a model spec: {error}") from error


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """Who may use a model, and from whom it was made: travels inside the exported file.

    Free text by design, empty where nobody filled it in; it is shown, never a gate.
    """

    name: str = ""
    author: str = ""
    licence: str = ""
    consent: str = ""  # who agreed, to what scope, until when
    contact: str = ""
    src_digest: str = ""  # sha256 over the src faceset's image digests
    iterations: int = 0
    software: str = ""
    # IPTC digital source type for a face replacement in a real plate
    digital_source_type: str = (
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Unknown keys of a newer version are left out: a record only informs."""
        values = json.loads(text)
        return cls(**{k: v for k, v in values.items() if k in cls.__dataclass_fields__})
