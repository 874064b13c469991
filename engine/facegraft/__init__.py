"""FaceGraft's engine: find, align, train, export and merge faces. It knows no terminal and no host.

Kept free of imports: hosts load `facegraft.controls` and `facegraft.worker.client` from here into
their own Python, where OpenCV and PyAV may be absent.
"""

__version__ = "0.1.0"
