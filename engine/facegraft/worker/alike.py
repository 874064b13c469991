"""Which of one frame's faces resemble a picture: the choice `like:`, answered without the clip.

The command line compares whole tracks; a host's frame has only itself, so each of its faces is
compared, with the same network and the same threshold. Vectors of pictures and of faces are kept:
a frame whose controls change is not looked at again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facegraft.embedding import Embedder
from facegraft.errors import ParameterError
from facegraft.faces.clip import Detector
from facegraft.faces.face import Face
from facegraft.merge.clip.choose import ChoiceKind, FaceChoice
from facegraft.merge.clip.likeness import person_vector, pictures
from facegraft.worker.cache import BoundedCache, OpenFiles
from facegraft.worker.request import Resemblance

_KEPT_BYTES = 4 << 20  # vectors of 2 kB each
_MOST_NETWORKS = 1  # open at once; a host's nodes seldom have two


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A frame whose faces are compared.

    digest: of its pixels and colour space. image: (H, W, 3) uint8 RGB, made when it is needed.
    """

    digest: str
    width: int  # px
    height: int
    image: Callable[[], np.ndarray]
    sizes: Mapping[int, float] = field(default_factory=dict)  # px by track, where they are known


class Alike:
    """Open recognition networks and the vectors of what was compared. Not locked."""

    def __init__(self, detector: Callable[[], Detector]) -> None:
        """`detector`: finds the face in a picture; asked for when one is first compared."""
        self._networks = OpenFiles("face recognition network", _MOST_NETWORKS, Embedder.open)
        self._kept = BoundedCache(_KEPT_BYTES)
        self._detector = detector

    def pick(
        self, choice: FaceChoice, faces: Sequence[Face], frame: Looked, asked: Resemblance
    ) -> tuple[tuple[Face, ...], str]:
        """Those of the faces that a choice means, in their order, and a sentence for the user where
        there are faces and none of them resembles the picture; else "".

        Raises: ParameterError where no network is named or a picture shows no face; SourceNotFound,
        UnreadableMedia, NotAModel, ModelError, MissingWeights.
        """
        if choice.kind is not ChoiceKind.LIKE or choice.picture is None:
            return choice.pick(faces, frame.width, frame.height, frame.sizes), ""
        if asked.network is None:
            raise ParameterError(
                f"{choice} compares faces: name a face recognition network (.onnx, ArcFace kind) "
                "as recognition, or choose in another way"
            )
        if not faces:
            return (), ""
        embedder = self._networks.get(asked.network)
        person = self._person(choice.picture, embedder)
        alike = [float(person @ self._vector(face, frame, embedder)) for face in faces]
        found = tuple(f for f, value in zip(faces, alike, strict=True) if value >= asked.least)
        if found:
            return found, ""
        return (), (
            f"no face of this frame is taken for {choice.picture.name}: the most alike has "
            f"{max(alike):.2f}, and {asked.least:.2f} is asked for"
        )

    def _person(self, path: Path, embedder: Embedder) -> np.ndarray:
        """(D,) float32 of length 1, kept until one of the pictures changes."""
        stamps = tuple((p, p.stat().st_mtime_ns, p.stat().st_size) for p in pictures(path))
        key = (embedder.digest, stamps)
        return self._known(key, lambda: person_vector(path, embedder, self._detector()))

    def _vector(self, face: Face, frame: Looked, embedder: Embedder) -> np.ndarray:
        key = (embedder.digest, frame.digest, face.landmarks.tobytes())
        return self._known(key, lambda: embedder.embed(frame.image(), face.landmarks))

    def _known(self, key: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
        vector = self._kept.get(key)
        if vector is None:
            vector = compute()
            self._kept.put(key, vector, vector.nbytes + 1024)
        return vector
