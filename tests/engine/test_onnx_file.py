"""Which of onnxruntime's providers runs a file, and that a fallback is said loudly."""

import logging

import onnxruntime
import pytest

from facegraft.errors import ParameterError
from facegraft.onnx_file import choose_providers, open_onnx
from tests.engine.tiny_dfm import write_dfm

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


@pytest.fixture
def gpu_build(monkeypatch):
    """onnxruntime says that it has what its GPU build has; opening a session shows the truth."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])


def test_cuda_comes_first_where_it_is_there_and_tensorrt_only_by_name(gpu_build):
    assert choose_providers(None) == [CUDA, CPU]
    assert choose_providers([TENSORRT, CUDA, CPU]) == [TENSORRT, CUDA, CPU]


def test_without_a_gpu_build_the_cpu_is_chosen_and_cuda_by_name_is_refused(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["Azure", CPU])
    assert choose_providers(None) == [CPU]
    with pytest.raises(ParameterError, match=f"no provider '{CUDA}' here; it has Azure, {CPU}"):
        choose_providers([CUDA, CPU])


@pytest.mark.parametrize("wanted", [None, [TENSORRT, CUDA, CPU]])
@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="CUDA is really here")
@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_gpu_that_cannot_be_used_is_a_warning_and_the_cpu_runs_the_file(
    gpu_build, wanted, tmp_path, caplog
):
    path = write_dfm(tmp_path / "a.dfm")
    with caplog.at_level(logging.WARNING):
        file = open_onnx(path, wanted)
    assert file.provider == CPU
    first = CUDA if wanted is None else TENSORRT
    assert [r.getMessage() for r in caplog.records] == [
        f"{first} could not be used; a.dfm runs on {CPU}"
    ]


def test_the_cpu_by_choice_is_no_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert open_onnx(write_dfm(tmp_path / "a.dfm"), [CPU]).provider == CPU
    assert not caplog.records
