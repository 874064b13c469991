"""Looks at the installation and says for each part whether it is well, or what to do next.

Standard library only; what needs the engine's packages runs inside `.venv`.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import blender
import environment
from environment import REPOSITORY, VENV, python_of

_ENV = "run: python3 install/install.py env"
_DISK_GB = 6  # both environments, a demo, and pip's cache
_PROBE = r"""
import json, importlib.metadata as m, importlib.util as u
found = {"packages": {}, "missing": []}
names = {"numpy": "numpy", "scipy": "scipy", "cv2": "opencv-python-headless", "av": "av",
    "OpenEXR": "OpenEXR",
    "click": "click", "rich": "rich", "torch": "torch", "onnx": "onnx",
    "safetensors": "safetensors"}
for module, name in names.items():
    if u.find_spec(module) is None:
        found["missing"].append(name)
    else:
        found["packages"][name] = m.version(name)
both = {n for n in ("opencv-python", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu")
    if any(d.name == n for d in m.distributions())}
found["clash"] = sorted(p for p in ("opencv-python", "onnxruntime-gpu") if p in both and
    {"opencv-python": "opencv-python-headless", "onnxruntime-gpu": "onnxruntime"}[p] in both)
if u.find_spec("onnxruntime"):
    import onnxruntime
    found["providers"] = onnxruntime.get_available_providers()
if u.find_spec("av"):
    import av
    found["codecs"] = [c for c in ("libx264", "libx265", "prores_ks", "ffv1", "aac")
        if c in av.codecs_available]
if u.find_spec("torch"):
    import torch
    found["cuda"] = torch.cuda.is_available()
from facegraft import weights
found["weights"] = [[s.file.name, str(s.state), s.file.is_converted] for s in weights.verify()]
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    is_well: bool
    text: str
    next_step: str = ""  # where it is not well

    def __str__(self) -> str:
        mark = "ok  " if self.is_well else "MISS"
        step = f"\n{'':19}next: {self.next_step}" if not self.is_well else ""
        return f"{mark} {self.name:<13} {self.text}{step}"


def report() -> int:
    """Print every finding; 0 where all are well, else 1."""
    findings = list(_look())
    for finding in findings:
        print(finding)
    return 0 if all(finding.is_well for finding in findings) else 1


def _look() -> Iterator[Finding]:
    version = sys.version.split()[0]
    is_new = sys.version_info >= environment.OLDEST
    yield Finding("Python", is_new, f"{version} ({sys.executable})", "use Python 3.11 or later")
    gpu = environment.find_gpu()
    yield Finding("GPU", True, gpu.reason if gpu.found else f"none, works on the CPU: {gpu.reason}")
    free = shutil.disk_usage(REPOSITORY).free / 1e9
    yield Finding("disk", free > _DISK_GB, f"{free:.0f} GB free", f"free {_DISK_GB} GB")
    yield from _look_inside(gpu.found)
    note = environment.user_data_folder() / "engine.json"
    try:
        python = json.loads(note.read_text(encoding="utf-8"))["python"]
        is_ours = python == str(python_of(VENV))
        yield Finding("engine note", is_ours, f"{note} names {python}", _ENV)
    except (OSError, ValueError, KeyError, TypeError):
        yield Finding("engine note", False, f"{note} is missing or damaged", _ENV)
    yield _look_at_blender()


def _look_inside(has_gpu: bool) -> Iterator[Finding]:
    python = python_of(VENV)
    if not python.exists():
        yield Finding("environment", False, f"{VENV} does not exist", _ENV)
        return
    result = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("environment", False, last, f"delete {VENV} and {_ENV}")
        return
    found = json.loads(result.stdout.strip().splitlines()[-1])
    listed = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    missing = ", ".join(found["missing"])
    yield Finding("packages", not missing, f"missing: {missing}" if missing else listed, _ENV)
    if found["clash"]:
        text = f"{', '.join(found['clash'])} overwrites its twin"
        yield Finding("clash", False, text, f"pip uninstall it, then {_ENV}")
    providers = found.get("providers", [])
    suits = bool(providers) and (not has_gpu or "CUDAExecutionProvider" in providers)
    text = ", ".join(providers) or "onnxruntime is missing"
    yield Finding("runtime", suits, text, f"the GPU is not used; {_ENV}")
    if has_gpu:
        yield Finding("torch", found.get("cuda", False), "sees the GPU or not", _ENV)
    codecs = found.get("codecs", [])
    yield Finding("codecs", "libx264" in codecs, ", ".join(codecs) or "none", _ENV)
    for name, state, is_default in found["weights"]:
        is_well = state == "installed" or not is_default and state == "missing"
        text = f"{name} {state}" + ("" if is_default else ", optional")
        yield Finding("weights", is_well, text, "run: .venv/bin/facegraft weights fetch")


def _look_at_blender() -> Finding:
    program = blender.find_program()
    if program is not None:
        return Finding("Blender", True, str(program))
    python = python_of(blender.VENV_BLENDER)
    step = "install Blender 5, or run: python3 install/install.py blender"
    if not python.exists():
        return Finding("Blender", False, "none found, and no bpy environment", step)
    missing = blender.missing_libraries(python)
    if missing:
        packages = " ".join(blender.packages_of(missing))
        return Finding("Blender", False, f"bpy lacks {', '.join(missing)}", f"install {packages}")
    return Finding("Blender", True, f"bpy module in {blender.VENV_BLENDER}")
