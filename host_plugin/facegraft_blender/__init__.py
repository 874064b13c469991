"""Blender add-on: the FaceGraft node in the compositor. GPL-3.0-or-later, see LICENSE.

Modules, from the table to the picture:

    props.py      MergeParams rows as node sockets and back, one loop, no bpy
    settings.py   what a node keeps beside the table: model, faces, what to do on errors
    nodes.py      the node group: build it, upgrade it, give every node its own
    graph.py      what shows a node, what enters it, and the values in its sockets
    images.py     the layer image inside the node; nothing else touches bpy images
    exr.py        the pixels of an uncompressed EXR as an array, no bpy
    faces.py      landmarks of a faceset folder by frame, no bpy
    engine.py     the engine process: start, ask, restart once
    status.py     what the panel says about each node
    helper.py     the hidden scene that renders what enters a node
    swap.py       one frame: upstream pixels and values in, layer image out
    handlers.py   when that happens: renders, file load, undo
    preview.py    and when it happens in the interface, after a short rest
    operators.py, panels.py
    compat.py     where Blender 4.5 and 5.x differ
"""


def register() -> None:
    # imported here so that the modules without bpy can be used, and tested, outside Blender
    from . import handlers, operators, panels, preview, settings

    for module in (settings, operators, panels, handlers, preview):
        module.register()


def unregister() -> None:
    from . import engine, handlers, operators, panels, preview, settings

    for module in (preview, handlers, panels, operators, settings):
        module.unregister()
    engine.stop()
