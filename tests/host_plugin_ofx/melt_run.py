"""`melt` as users start it, with the node, on Debian's own packages."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.debian import loader
from tests.host_plugin_ofx.mlt_run import PROFILE, SERVICE

_LIMIT_S = 180
# lossless; real_time=-1 computes every frame in a thread beside the writer, while a number above 0
# leaves frames out and makes melt fail with an OpenFX node
_WRITER = ("vcodec=libx264", "qp=0", "pix_fmt=yuv420p", "an=1", "real_time=-1")


class Melt:
    def __init__(self, folder: Path, compiler: Sequence[str], bundle: Path) -> None:
        """folder: an empty one for links and the profile. Raises: mlt_host.Unavailable."""
        root = mlt_host.host_root()
        modules = folder / "modules"
        modules.mkdir()
        self._environment = mlt_host.environment(root, modules, bundle.parent)
        self._environment["FACEGRAFT_PYTHON"] = sys.executable
        late = folder / "late_threads.so"
        source = Path(__file__).with_name("late_threads.c")
        options = ["-std=c11", "-O2", "-shared", "-fPIC", "-o", str(late), str(source), "-ldl"]
        subprocess.run([*compiler, *options], check=True, timeout=120)
        start, *rest = loader(root, root / mlt_host.MELT)
        self._command = [start, "--preload", str(late), *rest]
        self._profile = folder / "profile"

    def say(self, *arguments: str) -> str:
        """What melt prints."""
        return self._run(["-silent", *arguments]).stdout

    def render(
        self, size: tuple[int, int], out: Path, *arguments: object, writer: Sequence[str] = ()
    ) -> str:
        """Write a movie of what the arguments describe; what melt says on its error output.

        size: width and height of the profile, which melt needs: without one it may fail.
        """
        self._profile.write_text(PROFILE.format(width=size[0], height=size[1]))
        command = ["-silent", "-profile", str(self._profile), *map(str, arguments)]
        command += ["-consumer", f"avformat:{out}", *_WRITER, *writer]
        return self._run(command).stderr

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [*self._command, *arguments],
            capture_output=True, text=True, timeout=_LIMIT_S, env=self._environment,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result


def filtered(**values: object) -> list[str]:
    """The node with its parameters, as melt's arguments."""
    return ["-filter", SERVICE, *(f"{name}={value}" for name, value in values.items())]
