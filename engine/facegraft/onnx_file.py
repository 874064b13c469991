"""An ONNX file on disk, open in onnxruntime: what every network of the merge is opened with.

Reads the file's sha256 (the cache key of all that is computed with it), chooses the provider and
says openly which one is used, and turns onnxruntime's errors into ours. What a file must take and
give is checked by the module that uses it, with `describe` for its sentences.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from facegraft.errors import ModelError, NotAModel, ParameterError

log = logging.getLogger(__name__)

# In order of preference. TensorRT is taken by name alone: it builds an engine for minutes first.
# There is no IO binding: a 256 px model takes 0.8 MB and gives 1.3, which is 0.1 ms over PCIe
# beside a network of 65 GFLOP (milliseconds), and the merge needs both in ordinary memory anyway.
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """An open file; `open_onnx` makes it."""

    path: Path
    digest: str = field(repr=False)  # sha256 of the file, hex
    session: onnxruntime.InferenceSession = field(repr=False)

    @property
    def provider(self) -> str:
        """onnxruntime's name of what runs the graph."""
        return self.session.get_providers()[0]

    @property
    def metadata(self) -> dict[str, str]:
        """The file's own key and value texts."""
        return self.session.get_modelmeta().custom_metadata_map

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs, in the file's order.

        Raises: ModelError if onnxruntime fails, or gives numbers that are none.
        """
        try:
            outputs = [np.asarray(x) for x in self.session.run(None, dict(feeds))]
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise ModelError(f"{self.path.name} failed to run: {first_line(error)}") from error
        if not all(np.isfinite(x).all() for x in outputs):
            raise ModelError(f"{self.path.name} answers with NaN or infinity; export it anew")
        return outputs


def open_onnx(
    path: Path, providers: Sequence[str] | None = None, threads: int = 0, next_step: str = ""
) -> OnnxFile:
    """Open an ONNX file; the suffix is not looked at.

    `providers` are onnxruntime's names, best first; None takes CUDA where it is there. `threads` is
    for the CPU; 0 leaves the number to onnxruntime. `next_step` ends the messages: what kind of
    file to choose instead.

    Raises: NotAModel naming what is wrong with the file; ParameterError for an unknown provider.
    """
    path = Path(path)
    digest = file_digest(path, next_step)
    wanted = choose_providers(providers)
    file = OnnxFile(path, digest, _open_session(path, wanted, threads, next_step))
    if file.provider != wanted[0]:
        log.warning("%s could not be used; %s runs on %s", wanted[0], path.name, file.provider)
    return file


def describe(values: Sequence[onnxruntime.NodeArg]) -> str:
    """Inputs or outputs in words: "input float32 [1, 3, height, width]"; "none" for none."""
    return ", ".join(f"{v.name} {_dtype(v.type)} [{_sizes(v.shape)}]" for v in values) or "none"


def file_digest(path: Path, next_step: str = "") -> str:
    """sha256 of the file's bytes, hex. Raises: NotAModel where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotAModel(_joined(f"cannot read {path}: {error.strerror}", next_step)) from error


def choose_providers(providers: Sequence[str] | None) -> list[str]:
    """onnxruntime's providers to try, best first. Raises: ParameterError for one not here."""
    available = onnxruntime.get_available_providers()
    if providers is None:
        return [name for name in PROVIDERS if name in available]
    for name in providers:
        if name not in available:
            raise ParameterError(
                f"onnxruntime has no provider {name!r} here; it has {', '.join(available)}"
            )
    return list(providers)


def first_line(error: Exception) -> str:
    """onnxruntime's messages run over pages; their first line says it."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _open_session(
    path: Path, providers: list[str], threads: int, next_step: str
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; warnings of foreign graphs help nobody here
    # sigmoid tails and dead channels make numbers that a CPU multiplies a hundred times slower
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # threads that wait in a loop take the time of those that decode, merge and encode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base but Exception
        with path.open("rb") as file:
            head = file.read(2)
        # a model begins with the field ir_version, a small number
        begins_well = len(head) == 2 and head[0] == 0x08 and head[1] < 0x40
        what = "is cut short, damaged or unusable" if begins_well else "is not an ONNX file"
        wrong = _joined(f"{path} {what}", next_step)
        raise NotAModel(f"{wrong}. onnxruntime says: {first_line(error)}") from error


def _joined(wrong: str, next_step: str) -> str:
    return f"{wrong}; {next_step}" if next_step else wrong


def _dtype(kind: str) -> str:
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _sizes(shape: Sequence[int | str | None]) -> str:
    return ", ".join("?" if size is None else str(size) for size in shape)
