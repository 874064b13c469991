"""All outputs of one merge: a table of them, and the set that is open while a clip is merged.

`make` computes a frame's layers from values alone, so that threads may do it; `write` puts them
away in the order of the frames. Layers are images or movies like the result, with these limits:
a face layer in a movie needs a codec with alpha (.mov, .mkv); ST maps and multi-layer files are
EXR; crops are images, a folder a track. Every frame gets every layer, empty without a face; crops
exist where a face is.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from facegraft.errors import ParameterError
from facegraft.media.codecs import VideoCodec
from facegraft.media.exr import EXR_SUFFIX
from facegraft.media.exr_writer import ExrWriter
from facegraft.media.images import TIFF_SUFFIXES, to_unit
from facegraft.media.provenance import Provenance
from facegraft.media.source import Frame, SourceInfo
from facegraft.media.writer import scene_linear
from facegraft.merge.out.layers import face_layer, occlusion, square_numbers
from facegraft.merge.out.merged import MergedPixels
from facegraft.merge.out.naming import FileNames
from facegraft.merge.out.output import Output, open_output
from facegraft.merge.out.records import RecordWriter, frame_record
from facegraft.merge.out.st_map import st_map


@dataclass(frozen=True, slots=True)
class OutputKind:
    """One line of the table; hosts make a flag (--face-layer) or a field of it."""

    name: str
    help: str


OUTPUTS = (
    OutputKind("matte", "The matte of every frame, black without a face; forms as for OUT"),
    OutputKind(
        "face_layer",
        "The face layer, premultiplied RGBA: layer + plate * (1 - alpha) is the result; images, "
        ".mov (ProRes 4444) or .mkv (FFV1)",
    ),
    OutputKind(
        "face_crop",
        "The square that the network gives, display-referred (in EXR the clip's own space); a "
        "folder or a pattern, with a folder inside for each track",
    ),
    OutputKind(
        "st_map",
        "EXR map from frame to face square: red s, green t (from the bottom), blue 1 + track",
    ),
    OutputKind("occlusion", "What is in front of the face, by the XSeg model; forms as for OUT"),
    OutputKind(
        "records",
        "JSON of tracks, matrices, landmarks and confidence: one file.json, or a folder or "
        "m.####.json for a file a frame",
    ),
    OutputKind(
        "all_layers",
        "One EXR a frame with the result and matte, face, st and occlusion as layers; all that the "
        "plate's own EXR holds is kept",
    ),
)
_ALPHA_CODECS = {".mov": VideoCodec.PRORES4444, ".mkv": VideoCodec.FFV1}
_EXR_ONLY = ("st_map", "all_layers")


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What one frame gives to be written; only what is asked for is there."""

    pixels: np.ndarray
    planes: dict[str, tuple[np.ndarray, np.ndarray | None]]  # by output: colour or grey, alpha
    crops: tuple[tuple[int, np.ndarray], ...] = ()  # track, square
    record: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, np.ndarray] = field(default_factory=dict)  # of the multi-layer file


class OutputSet:
    """The result and whatever else is written; `open_outputs` makes it."""

    def __init__(
        self,
        result: Output,
        layers: Mapping[str, Output],
        records: RecordWriter | None,
        crops: "CropWriter | None",
        has_segmenter: bool,
        open_files: ExitStack,
    ) -> None:
        self.result = result
        self._open = open_files
        self._layers = dict(layers)
        self._records = records
        self._crops = crops
        self.wants_occlusion = "occlusion" in layers or ("all_layers" in layers and has_segmenter)

    def is_there(self, name: str, index: int) -> bool:
        """Whether all files of a frame exist; never for movies. Crops are not asked for."""
        paths = [o.path_of(name, index) for o in (self.result, *self._layers.values())]
        if self._records is not None:
            path = self._records.path_of(name, index)
            if path is None and not self._records.has(index):
                return False
            paths += [path] if path else []
        return all(path is not None and path.exists() for path in paths)

    def make(self, frame: Frame, merged: MergedPixels) -> Made:
        """The frame's layers. Changes nothing, from any thread."""
        planes: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
        for name, output in self._layers.items():
            match name:
                case "matte":
                    planes[name] = merged.matte, None
                case "face_layer":
                    scene = _is_scene(output.names, frame)
                    planes[name] = face_layer(frame, merged, scene), to_unit(merged.matte)
                case "st_map":
                    mapped = st_map(frame.pixels.shape, merged.faces)
                    planes[name] = mapped[..., :3], mapped[..., 3]
                case "occlusion":
                    planes[name] = occlusion(frame, merged.faces), None
        return Made(
            merged.pixels,
            planes,
            self._crops.squares(frame, merged) if self._crops else (),
            frame_record(frame, merged.faces) if self._records else {},
            self._channels(frame, merged) if "all_layers" in self._layers else {},
        )

    def _channels(self, frame: Frame, merged: MergedPixels) -> dict[str, np.ndarray]:
        """Channels of the multi-layer file beside the picture's own."""
        matte = to_unit(merged.matte)
        face = face_layer(frame, merged, scene=True)
        mapped = st_map(frame.pixels.shape, merged.faces)
        channels = {f"face.{name}": face[..., i] for i, name in enumerate("RGB")}
        channels |= {"face.A": matte, "matte.Y": matte}
        channels |= {f"st.{name}": mapped[..., i] for i, name in enumerate(("s", "t", "face"))}
        if self.wants_occlusion:
            channels["occlusion.Y"] = occlusion(frame, merged.faces)
        return {name: np.ascontiguousarray(plane) for name, plane in channels.items()}

    def write(self, frame: Frame, made: Made) -> None:
        """Put away what `make` gave. Raises: WriteError, ParameterError."""
        for name, (values, alpha) in made.planes.items():
            self._layers[name].write_layer(frame, values, alpha)
        if self._crops is not None:
            self._crops.write(frame, made.crops)
        if "all_layers" in self._layers:
            _write_layers(self._layers["all_layers"], frame, made)
        if self._records is not None:
            self._records.write(frame, made.record)
        self.result.write(frame, made.pixels)  # last: where it is, all of the frame is

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        """Movies are finished, or dropped after an error; records of finished frames are kept."""
        self._open.__exit__(kind, *rest)


class CropWriter:
    """The network's squares, a folder a track inside the folder of `names`."""

    def __init__(self, names: FileNames, info: SourceInfo, about: Provenance | None) -> None:
        self._names, self._info, self._about = names, info, about
        self._outputs: dict[int, Output] = {}

    def squares(self, frame: Frame, merged: MergedPixels) -> tuple[tuple[int, np.ndarray], ...]:
        scene = _is_scene(self._names, frame)
        return tuple(
            (face.face.track, square_numbers(frame, face.prediction.face, scene))
            for face in merged.faces
        )

    def write(self, frame: Frame, squares: tuple[tuple[int, np.ndarray], ...]) -> None:
        """Faces outside any track are numbered by their place in the frame."""
        for place, (track, square) in enumerate(squares):
            number = track if track >= 0 else place
            if number not in self._outputs:
                folder = self._names.folder / f"track_{number}"
                pattern = f"{self._names.pattern}{self._names.suffix}"
                self._outputs[number] = open_output(
                    folder / pattern if self._names.pattern else folder,
                    self._info,
                    about=self._about,
                    image_suffix=self._names.suffix,
                )
            self._outputs[number].write_layer(frame, square)


def open_outputs(
    out: Path,
    others: Mapping[str, Path],
    info: SourceInfo,
    *,
    codec: VideoCodec | str = VideoCodec.H264,
    audio: bool = True,
    alpha: bool = False,
    about: Provenance | None = None,
    compression: str = "",
    has_segmenter: bool = False,
) -> OutputSet:
    """Open the result at `out` and the outputs of the table that `others` names.

    codec: of the result's movie, and of mattes. has_segmenter: an XSeg model is at hand.
    Raises: WriteError; ParameterError for an unknown output, a form that it has not, an occlusion
    matte without a segmenter, and for two outputs that would write the same files.
    """
    known = [kind.name for kind in OUTPUTS]
    for name in others:
        if name not in known:
            raise ParameterError(f"unknown output {name!r}; known: {', '.join(known)}")
    if "occlusion" in others and not has_segmenter:
        raise ParameterError("an occlusion matte needs a segmentation model; give an XSeg model")
    with ExitStack() as stack:
        result = stack.enter_context(
            open_output(
                out, info, codec=codec, audio=audio, alpha=alpha, about=about,
                compression=compression,
            )
        )  # fmt: skip
        layers: dict[str, Output] = {}
        for name, path in others.items():
            if name not in ("records", "face_crop"):
                layers[name] = stack.enter_context(
                    _open_layer(name, path, info, codec, about, compression)
                )
        records = RecordWriter(others["records"], info) if "records" in others else None
        crops = _open_crops(others["face_crop"], info, about) if "face_crop" in others else None
        _check_apart({"OUT": result, **layers})
        if records is not None:
            stack.callback(records.close)
        return OutputSet(result, layers, records, crops, has_segmenter, stack.pop_all())


def _open_layer(
    name: str,
    path: Path,
    info: SourceInfo,
    codec: VideoCodec | str,
    about: Provenance | None,
    compression: str,
) -> Output:
    suffix = path.suffix.lower()
    if name in _EXR_ONLY and suffix not in ("", EXR_SUFFIX) and not path.is_dir():
        raise ParameterError(
            f"{name} goes into EXR alone, not {path}; give a folder or a pattern such as "
            f"{path.stem}.####.exr"
        )
    if name == "face_layer" and suffix in (".mp4", ".mov", ".mkv"):
        if suffix not in _ALPHA_CODECS:
            raise ParameterError(f"{path}: {suffix} holds no alpha; use .mov, .mkv or images")
        codec = _ALPHA_CODECS[suffix]
    return open_output(
        path, info, codec=codec, audio=False, alpha=name == "face_layer", about=about,
        compression=compression, image_suffix=EXR_SUFFIX if name in _EXR_ONLY else "",
    )  # fmt: skip


def _open_crops(path: Path, info: SourceInfo, about: Provenance | None) -> CropWriter:
    suffix = path.suffix.lower() or (EXR_SUFFIX if info.is_float else ".png")
    names = FileNames.of(path, suffix)
    if names is None:
        raise ParameterError(
            f"crops are images, {path} is not; give a folder or a pattern such as crop.####.png"
        )
    return CropWriter(names, info, about)


def _check_apart(outputs: Mapping[str, Output]) -> None:
    """Raises: ParameterError where two outputs would write the same files."""
    seen: dict[Path, str] = {}
    for name, output in outputs.items():
        place = (output.path_of("frame.0001", 1) or output.path).resolve()
        if place in seen:
            raise ParameterError(
                f"{seen[place]} and {name} are both {output.path}; give each a place of its own"
            )
        seen[place] = name


def _is_scene(names: FileNames | None, frame: Frame) -> bool:
    """Whether a file of that name holds scene numbers, see `layers.py`."""
    suffix = names.suffix.lower() if names else ""
    return suffix == EXR_SUFFIX or (frame.is_float and suffix in TIFF_SUFFIXES)


def _write_layers(output: Output, frame: Frame, made: Made) -> None:
    writer = output.writer
    assert isinstance(writer, ExrWriter)
    name = output.name_of(frame)
    if frame.stored is not None:
        writer.replace(frame.stored, frame.pixels, made.pixels, name, made.channels)
        return
    picture = scene_linear(frame, made.pixels)
    colors = {channel: picture[..., index] for index, channel in enumerate("RGB")}
    writer.write_planes({**colors, **made.channels}, name)
