"""What the tests do inside Blender: run by the bpy environment's Python, never by pytest's.

    python in_blender.py COMMAND '{"a": "request as JSON"}'

The last line printed is the answer as JSON. A shot is built, saved, loaded and rendered the way a
user's file is: by the installed extension, with everything read back from the file.
"""

import json
import os
import sys

import bpy  # pyright: ignore[reportMissingImports]

EXTENSION = "bl_ext.user_default.facegraft"


def install(request):
    """Install the zip into the profile that BLENDER_USER_RESOURCES names."""
    result = bpy.ops.extensions.package_install_files(
        filepath=request["zip"], repo="user_default", enable_on_install=True
    )
    return {"result": sorted(result), "enabled": EXTENSION in bpy.context.preferences.addons}


def describe(_request):
    """What the user sees of a new node."""
    _enable()
    tree = _new_tree()
    node = _add_node(tree)
    interface = node.node_tree.interface.items_tree
    panels = {
        item.name: [i.name for i in item.interface_items]
        for item in interface
        if item.item_type == "PANEL"
    }
    sockets = []
    for socket in node.inputs:
        item = next(i for i in interface if getattr(i, "identifier", "") == socket.identifier)
        sockets.append(
            {
                "name": socket.name,
                "type": socket.type,
                "default": None if socket.type == "RGBA" else socket.default_value,
                "range": [getattr(item, "min_value", None), getattr(item, "max_value", None)],
                "description": item.description,
                "keyed": socket.type != "RGBA" and socket.keyframe_insert("default_value"),
                "greyed": socket.is_inactive,
            }
        )
    operators = [name for name in dir(bpy.ops.facegraft) if not name.startswith("_")]
    return {
        "inputs": sockets,
        "outputs": [s.name for s in node.outputs],
        "panels": panels,
        "operators": sorted(operators),
    }


def shoot(request):
    """Build a shot (see `_build`), save it, load it and render it."""
    _enable()
    _build(request)
    bpy.ops.wm.save_as_mainfile(filepath=request["blend"], check_existing=False)
    return render(request)


def render(request):
    """Load a saved shot and render it, as `blender -b FILE -a` does."""
    if request.get("addon", True):
        _enable()
    bpy.ops.wm.open_mainfile(filepath=request["blend"])
    scene = bpy.context.scene
    if request.get("kill_engine_before") is not None:
        bpy.app.handlers.render_pre.insert(0, _killer(request["kill_engine_before"]))
    if "output" in request:
        scene.render.filepath = request["output"]
    if request.get("single") is not None:
        scene.frame_set(request["single"])
        bpy.ops.render.render(write_still=True)
    else:
        bpy.ops.render.render(animation=True)
    report = _leftovers()
    if request.get("addon", True):
        report["statuses"] = _statuses(scene)
    return report


def exr_pixels(request):
    """Compare our EXR reader with Blender's own on one file: both as flat lists."""
    import numpy as np

    sys.path[:0] = request["path"]
    from pathlib import Path

    from facegraft_blender import exr

    ours = exr.read_rgba(Path(request["file"]))
    image = bpy.data.images.load(request["file"])
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = "CHANNEL_PACKED"
    theirs = np.empty(ours.size, np.float32)
    image.pixels.foreach_get(theirs)
    theirs = theirs.reshape(ours.shape)[::-1]
    return {"equal": bool(np.array_equal(ours, theirs)), "spread": float(np.ptp(ours))}


def _enable():
    import addon_utils  # pyright: ignore[reportMissingImports]

    assert addon_utils.enable(EXTENSION) is not None, "the extension cannot be enabled"


def _build(request):
    """source: image pattern's first file or movie; frames, size, fps; nodes: name, from, params,
    keys {row: [[frame, value], ...]}, model, faces, on_error; result: node and socket, or two
    nodes to average; format: EXR, PNG or MP4; output: path; audio: file."""
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y = request["size"]
    render.resolution_percentage = 100
    render.fps = request.get("fps", 25)
    scene.frame_start, scene.frame_end = 1, request["frames"]
    scene.view_settings.view_transform = "Standard"
    render.dither_intensity = 0.0
    render.compositor_device = "CPU"
    tree = _new_tree()
    made = {"source": _source(tree, request)}
    for description in request["nodes"]:
        node = made[description["name"]] = _add_node(tree)
        node.name = description["name"]
        if "duplicate_of" in description:  # what duplicating in the interface leaves
            node.node_tree = made[description["duplicate_of"]].node_tree
        _configure(node, description)
        tree.links.new(made[description["from"]].outputs[0], node.inputs[0])
    output = next(n for n in tree.nodes if n.bl_idname == "NodeGroupOutput")
    tree.links.new(_result(tree, made, request), output.inputs[0])
    _set_output(render, request)
    if "audio" in request:
        editor = scene.sequence_editor_create()
        editor.strips.new_sound("sound", request["audio"], channel=1, frame_start=1)


def _new_tree():
    scene = bpy.context.scene
    tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    tree.nodes.new("NodeGroupOutput")
    scene.compositing_node_group = tree
    return tree


def _add_node(tree):
    bpy.ops.facegraft.add_node()
    return tree.nodes.active


def _source(tree, request):
    node = tree.nodes.new("CompositorNodeImage")
    node.image = bpy.data.images.load(request["source"])
    node.image.source = request.get("source_kind", "SEQUENCE")
    node.frame_duration = request["frames"]
    node.frame_start = 1
    node.use_auto_refresh = True
    exposure = request.get("exposure_keys")
    if exposure is None:
        return node
    grade = tree.nodes.new("CompositorNodeExposure")
    tree.links.new(node.outputs[0], grade.inputs[0])
    for frame, value in exposure:
        grade.inputs["Exposure"].default_value = value
        grade.inputs["Exposure"].keyframe_insert("default_value", frame=frame)
    return grade


def _configure(node, description):
    settings = node.node_tree.facegraft
    settings.model_path = description.get("model", "")
    settings.faces_path = description.get("faces", "")
    settings.on_error = description.get("on_error", "PASS")
    for label, value in description.get("params", {}).items():
        node.inputs[label].default_value = value
    for label, keys in description.get("keys", {}).items():
        for frame, value in keys:
            node.inputs[label].default_value = value
            node.inputs[label].keyframe_insert("default_value", frame=frame)
    for layer in _layers(node.id_data):
        for bag in layer.strips[0].channelbags:
            for curve in bag.fcurves:
                for point in curve.keyframe_points:
                    point.interpolation = "LINEAR"


def _layers(tree):
    animation = tree.animation_data
    return animation.action.layers if animation is not None and animation.action else []


def _result(tree, made, request):
    wanted = request.get("result") or [request["nodes"][-1]["name"], "Image"]
    if wanted[1] in made:  # two nodes: their mean
        mix = tree.nodes.new("ShaderNodeMix")
        mix.data_type = "RGBA"
        mix.inputs["Factor"].default_value = 0.5
        tree.links.new(made[wanted[0]].outputs["Image"], mix.inputs[6])
        tree.links.new(made[wanted[1]].outputs["Image"], mix.inputs[7])
        return mix.outputs[2]
    return made[wanted[0]].outputs[wanted[1]]


def _set_output(render, request):
    settings = render.image_settings
    kind = request["format"]
    settings.media_type = "VIDEO" if kind == "MP4" else "IMAGE"
    if kind == "MP4":
        settings.file_format = "FFMPEG"
        render.ffmpeg.format = "MPEG4"
        render.ffmpeg.codec = "H264"
        render.ffmpeg.constant_rate_factor = "LOSSLESS"
        render.ffmpeg.audio_codec = "AAC"
    elif kind == "EXR":
        settings.file_format = "OPEN_EXR"
        settings.color_depth, settings.exr_codec = "32", "NONE"
        settings.color_mode = "RGBA"
    else:
        settings.file_format = "PNG"
        settings.color_depth, settings.color_mode = request.get("depth", "8"), "RGB"
    render.filepath = request["output"]


def _killer(frame):
    """A handler that kills the engine process before one frame, as a crash would."""

    def kill(scene, *_):
        if scene.frame_current == frame and scene.name == "Scene":
            engine = sys.modules[f"{EXTENSION}.engine"]
            os.kill(engine._client.pid, 9)

    return kill


def _leftovers():
    scratch = [n for n in os.listdir("/dev/shm") if n.startswith("facegraft-")]
    return {
        "scenes": [s.name for s in bpy.data.scenes],
        "groups": sorted(g.name for g in bpy.data.node_groups),
        "curves": [
            [c.data_path, len(c.keyframe_points)]
            for action in bpy.data.actions
            for layer in action.layers
            for bag in layer.strips[0].channelbags
            for c in bag.fcurves
        ],
        "scratch": scratch,
    }


def _statuses(scene):
    status = sys.modules[f"{EXTENSION}.status"]
    found = {}
    for node in scene.compositing_node_group.nodes:
        last = status.last(node.node_tree) if getattr(node, "node_tree", None) else None
        if last is not None:
            found[node.name] = {
                "outcome": last.outcome.value,
                "message": last.message,
                "faces": last.face_count,
                "ms": dict(last.ms),
            }
    return found


if __name__ == "__main__":
    commands = {f.__name__: f for f in (install, describe, shoot, render, exr_pixels)}
    answer = commands[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps(answer), flush=True)
