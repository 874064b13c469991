"""Blender add-on: the FaceGraft node in the compositor. GPL-3.0-or-later, see LICENSE.

Modules, from the table to the picture:

    props.py      MergeParams rows as node sockets and back, one loop, no bpy
    settings.py   what a node keeps beside the table: networks, faces, source, errors
    nodes.py      the node group: build it, upgrade it, give every node its own
    graph.py      what shows a node, what enters it, and the values in its sockets
    images.py     the layer image inside the node, live or baked
    exr.py        the pixels of an uncompressed EXR as an array, no bpy
    faces.py      landmarks and tracks of a clip by frame, no bpy
    engine.py     the engine process: start, ask, restart once
    status.py     what the panel says about each node
    checks.py     what makes a render look wrong without an error
    helper.py     the hidden scene that renders what enters a node
    swap.py       one frame: upstream pixels and values in, layer image out
    card.py       an error message as a picture
    handlers.py   when that happens: renders, file load, undo
    preview.py    and when it happens in the interface, after a short rest

What the user can do:

    jobs.py       work over many frames, with a bar and Escape
    track.py      find and follow faces into a file
    bake.py       layers into EXR files, whose index is cache.py (no bpy)
    keyframes.py  values to and from files; curves.py reads the F-curves
    viewer.py     faces drawn over the viewer, and chosen by a click (geometry.py, no bpy)
    operators.py  the short ones, and the list of all
    panels.py     the sidebar
    compat.py     where Blender 4.5 and 5.x differ
"""


def register() -> None:
    # imported here so that the modules without bpy can be used, and tested, outside Blender
    from . import handlers, operators, panels, preview, settings, viewer

    for module in (settings, operators, panels, viewer, handlers, preview):
        module.register()


def unregister() -> None:
    from . import engine, handlers, operators, panels, preview, settings, viewer

    for module in (preview, handlers, viewer, panels, operators, settings):
        module.unregister()
    engine.stop()
