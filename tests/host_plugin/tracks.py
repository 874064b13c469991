"""Faces that belong to tracks, for tests."""

from dataclasses import replace

from facegraft.faces.face import Face


def tracked(face: Face, track: int, held: bool = False) -> Face:
    return replace(face, track=track, held=held, raw_landmarks=face.landmarks)
