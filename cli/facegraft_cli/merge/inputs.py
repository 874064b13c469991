"""Help section "Input": the model, the faces and what else is read beside the clip."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from facegraft.array_store import ArrayStore
from facegraft.enhance import Enhancer
from facegraft.inference import SwapModel
from facegraft.media.open import open_source
from facegraft.media.source import FrameSource, SourceInfo
from facegraft.merge.clip.cast import Part, parse_part
from facegraft.merge.job import check_mattes
from facegraft.model_spec import FaceType
from facegraft.progress import Progress
from facegraft.segment import Segmenter
from facegraft_cli.merge.device import Device
from facegraft_cli.options import option_in, together

SECTION = "Input"
PATH = click.Path(path_type=Path)
GB = 10**9
PROVIDER = "ExecutionProvider"  # how the names of onnxruntime's end

input_options = together(
    option_in(
        SECTION,
        "--model",
        type=PATH,
        help="The .dfm file; needed unless --cast names a model for everybody.",
    ),
    option_in(
        SECTION,
        "--faces",
        type=PATH,
        help="Faceset that was extracted from CLIP, or the track file (.json) of a Blender node; "
        "without it faces are searched first. Faces whose images were deleted from a faceset stay "
        "as they are.",
    ),
    option_in(
        SECTION,
        "--segmenter",
        type=PATH,
        help="XSeg model or another face segmenter (ONNX), for the xseg masks.",
    ),
    option_in(
        SECTION,
        "--segmenter-face-type",
        type=click.Choice([kind.value for kind in FaceType]),
        metavar="CHOICE",
        help=f"Framing that the segmenter was trained with. [{', '.join(FaceType)}]  [default: as "
        "its file says, or whole_face]",
    ),
    option_in(
        SECTION,
        "--enhancer",
        type=PATH,
        help="Super resolution model (ONNX), for --super-resolution.",
    ),
    option_in(
        SECTION,
        "--host-matte",
        type=PATH,
        help="Matte for --mask-mode host: a clip of CLIP's size and length, or one image for all "
        "frames; its red channel counts.",
    ),
    option_in(
        SECTION,
        "--cache",
        type=PATH,
        help="Folder that keeps what the networks predict, by content of face and model: a second "
        "merge with other controls, here or on another machine, need not run them.",
    ),
    option_in(
        SECTION,
        "--cache-limit",
        type=click.FloatRange(0.01, 10_000),
        default=8.0,
        show_default=True,
        help="Size of the cache in GB; what was not used for longest goes.",
    ),
)


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks beside the face detector's. `own`: of faces that no part of the cast means."""

    own: SwapModel | None
    cast: tuple[Part, ...]
    segmenter: Segmenter | None
    enhancer: Enhancer | None

    @property
    def models(self) -> list[SwapModel]:
        """All of them, one or more; the merge's own is the first."""
        return [*([self.own] if self.own else []), *(model for _, model in self.cast)]


@contextmanager
def open_networks(values: Mapping[str, Any], device: Device, twice: bool) -> Iterator[Networks]:
    """The networks, open for the length of the block.

    twice: the merge goes through the clip two times, so predictions are kept meanwhile.
    Raises: NotAModel naming the file, ParameterError, WriteError.
    """
    with ExitStack() as stack:
        store = None
        if values["cache"]:
            store = ArrayStore(values["cache"], int(values["cache_limit"] * GB))
        elif twice:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="facegraft-"))
            store = ArrayStore(Path(folder))
        models = _open_models(values, device, store)
        segmenter = enhancer = None
        if values["segmenter"]:
            kind = values["segmenter_face_type"]
            segmenter = Segmenter.open(
                values["segmenter"],
                kind and FaceType(kind),
                providers=device.providers,
                threads=device.threads_a_frame,
            )
        if values["enhancer"]:
            enhancer = Enhancer.open(values["enhancer"], device.providers, device.threads_a_frame)
        yield Networks(*models, segmenter, enhancer)


def _open_models(
    values: Mapping[str, Any], device: Device, store: ArrayStore | None
) -> tuple[SwapModel | None, tuple[Part, ...]]:
    def opened(path: Path) -> SwapModel:
        return SwapModel.open(path, device.providers, device.threads_a_frame, store)

    parts = [parse_part(text) for text in values["cast"]]
    if values["model"] is None and not parts:
        raise click.UsageError("no model is given; add --model MODEL.dfm (or --cast)")
    own = opened(values["model"]) if values["model"] else None
    return own, tuple((choice, opened(path)) for choice, path in parts)


@contextmanager
def host_mattes(path: Path | None, plate: SourceInfo) -> Iterator[FrameSource | None]:
    """The host's matte, open for the length of the block. Raises: ParameterError, MediaError."""
    if path is None:
        yield None
        return
    with open_source(path) as mattes:
        check_mattes(mattes.info, plate)
        yield mattes


def tell_records(models: Sequence[SwapModel], progress: Progress) -> None:
    """What runs the models; who made them and what for, where somebody wrote it down."""
    for model in models:
        progress.note(f"{model.path.name} runs on {model.provider.removesuffix(PROVIDER)}")
        for label in ("name", "author", "licence", "consent", "contact"):
            text = getattr(model.record, label) if model.record else ""
            if text:
                which = f" {model.path.name}" if len(models) > 1 else ""
                progress.note(f"model{which} {label}: {text}")
