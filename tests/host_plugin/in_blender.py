"""What the tests do inside Blender: run by the bpy environment's Python, never by pytest's.

    python in_blender.py COMMAND '{"a": "request as JSON"}'

The last line printed is the answer as JSON. A shot is built, saved, loaded and rendered the way a
user's file is: by the installed extension, with everything read back from the file.
"""

import json
import os
import sys
from types import SimpleNamespace

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
    if "edges" in request:  # first and last frame
        scene.frame_start, scene.frame_end = request["edges"]
    for label, value in request.get("set", {}).items():
        scene.compositing_node_group.nodes["FG"].inputs[label].default_value = value
    if request.get("single") is not None:
        scene.frame_set(request["single"])
        bpy.ops.render.render(write_still=True)
    else:
        bpy.ops.render.render(animation=True)
    report = _leftovers()
    if request.get("addon", True):
        report["statuses"] = _statuses(bpy.data.scenes["Scene"])
    return report


def upgrade(request):
    """A file whose node lacks the last rows, as an older add-on left it, and then loaded here."""
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes[request["nodes"][0]["name"]]
    names = [s.name for s in node.inputs]
    items = node.node_tree.interface.items_tree
    for name in names[-request["missing"] :]:
        node.node_tree.interface.remove(next(i for i in items if i.name == name))
    node.node_tree["facegraft_node"] -= request["missing"]
    before = [s.name for s in node.inputs]
    bpy.ops.wm.save_as_mainfile(filepath=request["blend"], check_existing=False)
    answer = render(request)
    node = bpy.context.scene.compositing_node_group.nodes[request["nodes"][0]["name"]]
    return {**answer, "names": names, "before": before, "after": [s.name for s in node.inputs]}


def interface(request):
    """Draw the panels into a recorder, and refresh the preview; both need no window."""
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes.active
    preview = sys.modules[f"{EXTENSION}.preview"]
    nodes = sys.modules[f"{EXTENSION}.nodes"]
    layer = nodes.layer_of(node.node_tree)
    empty_before = max(layer.pixels[:]) == 0
    signatures = [preview._signature(scene)]
    preview._refresh(scene)
    covered = max(layer.pixels[:][3::4])
    signatures.append(preview._signature(scene))
    scene.frame_set(2)
    signatures.append(preview._signature(scene))
    sys.modules[f"{EXTENSION}.engine"].describe_model(request["nodes"][0]["model"])
    shown = _draw_panels(scene, node)
    unseen = [name for name, change in _changes(node) if not _is_seen(scene, change)]
    return {
        "empty_before": empty_before,
        "covered": covered,
        "shown": shown,
        "signatures": signatures,
        "unseen": unseen,
    }


def _changes(node):
    """Every control and setting that a picture depends on, with a call that changes it."""
    for socket in node.inputs:
        if socket.name not in ("Image", "Mask"):
            yield socket.name, lambda s=socket: setattr(s, "default_value", _other(s))
    settings = node.node_tree.facegraft
    for name in ("model_path", "segmenter_path", "enhancer_path", "faces_path", "choice"):
        yield name, lambda n=name: setattr(settings, n, "/nowhere")
    yield "faces_start", lambda: setattr(settings, "faces_start", 7)
    tree = node.id_data
    source = node.inputs["Image"].links[0].from_socket
    yield "mask link", lambda: tree.links.new(source, node.inputs["Mask"])
    curves = tree.nodes.new("CompositorNodeCurveRGB")
    tree.links.new(source, curves.inputs["Image"])
    yield "curves link", lambda: tree.links.new(curves.outputs[0], node.inputs["Image"])
    point = curves.mapping.curves[3].points[0]
    yield "curve point", lambda: setattr(point, "location", (0.0, 0.3))


def _other(socket):
    """A value that differs from the socket's, and is in its range."""
    if socket.type == "BOOLEAN":
        return not socket.default_value
    item = socket.node.node_tree.interface.items_tree[socket.name]
    low, high = item.min_value, item.max_value
    return high if socket.default_value != high else low


def _is_seen(scene, change):
    preview = sys.modules[f"{EXTENSION}.preview"]
    before = preview._signature(scene)
    change()
    return preview._signature(scene) != before


class _Layout:
    """Takes a panel's drawing calls; properties, operators and icons must exist."""

    def __init__(self, shown):
        self.shown = shown

    def prop(self, data, name, text=None, index=-1):
        assert name in data.bl_rna.properties, name
        self.shown.append(text or data.bl_rna.properties[name].name)

    def label(self, text="", icon="NONE"):
        icons = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        assert icon in icons, icon
        self.shown.append(text)

    def operator(self, name, text=None, icon="NONE"):
        group, _, operator = name.partition(".")
        assert operator in dir(getattr(bpy.ops, group)), name
        self.shown.append(text or name)
        return SimpleNamespace()  # takes the operator's properties

    def operator_menu_enum(self, name, property):
        self.operator(name)

    def row(self, align=False):
        return self

    def box(self):
        return self


def _draw_panels(scene, node):
    context = SimpleNamespace(
        scene=scene,
        active_node=node,
        space_data=SimpleNamespace(tree_type="CompositorNodeTree"),
    )
    shown = []
    for panel in sys.modules[f"{EXTENSION}.panels"]._CLASSES:
        assert panel.poll(context)
        ours = [cls for cls in panel.__mro__ if cls.__module__.startswith(EXTENSION)]
        methods = {k: v for cls in reversed(ours) for k, v in vars(cls).items() if callable(v)}
        drawn = type("Drawn", (), {**methods, "layout": _Layout(shown)})()
        drawn.draw(context)  # pyright: ignore[reportAttributeAccessIssue]
    return shown


def bake(request):
    """Bake the first node of a shot, and save the file in which it reads the baked layers."""
    _enable()
    _build(request)
    _save(request)
    node = bpy.context.scene.compositing_node_group.nodes[request["nodes"][0]["name"]]
    bpy.context.scene.compositing_node_group.nodes.active = node
    result = _call(bpy.ops.facegraft.bake)
    settings = node.node_tree.facegraft
    _save(request)
    leftovers = _leftovers()
    return {"result": result, "source": settings.source, **leftovers}


def keyframes(request):
    """Give a node keys and what else moves values, and export them.

    edits: lines that are run with `node` and `curve(label)`. Also gives each frame's values as the
    node evaluates them.
    """
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes[request["nodes"][0]["name"]]
    scene.compositing_node_group.nodes.active = node
    node.node_tree.facegraft.faces_start = request.get("start", 1)
    curves = sys.modules[f"{EXTENSION}.curves"]

    def curve(label):
        return curves.curve_of(node.id_data, node.inputs[label])

    for line in request.get("edits", []):
        exec(line, {"node": node, "curve": curve, "bpy": bpy})
    _save(request)
    before = scene.frame_current
    result = _call(bpy.ops.facegraft.export_keys, filepath=request["json"])
    values = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        values.append(curves.values_now(scene, node.name))
    return {"result": result, "values": values, "moved": scene.frame_current if before else 0}


def import_keys(request):
    """Import a file of values into a fresh node, and export them again."""
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes[request["nodes"][0]["name"]]
    imported = _call(bpy.ops.facegraft.import_keys, filepath=request["json"])
    again = _call(bpy.ops.facegraft.export_keys, filepath=request["json_again"])
    return {"results": [imported, again], "active": node.name}


def preset(request):
    """Save a node's values as a preset, change them, and load presets."""
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes.active
    curves = sys.modules[f"{EXTENSION}.curves"]
    saved = _call(bpy.ops.facegraft.save_preset, name="mine", about="a test's")
    node.inputs["Erode"].default_value = -20.0
    taken = _call(bpy.ops.facegraft.save_preset, name="mine")
    loaded = {}
    for name in ("mine", *request["presets"]):
        loaded[name] = [_call(bpy.ops.facegraft.load_preset, preset=name)]
        loaded[name].append(curves.values_now(scene, node.name))
    return {"saved": saved, "taken": taken, "loaded": loaded}


def pick(request):
    """Choose by a click's place and by the buttons of the track list."""
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes.active
    settings = node.node_tree.facegraft
    modules = {n: sys.modules[f"{EXTENSION}.{n}"] for n in ("preview", "status", "viewer")}
    modules["preview"]._refresh(scene)
    last = modules["status"].last(node.node_tree)
    choices = []
    for place, shown in request["places"]:
        choices.append(modules["viewer"].choice_at(last, place, shown))
    buttons = []
    for track, extend in request["buttons"]:
        bpy.ops.facegraft.choose_track(track=track, extend=extend)
        buttons.append(settings.choice)
    return {"choices": choices, "buttons": buttons, "faces": [dict(f) for f in last.faces]}


def track(request):
    """Track the faces that enter the first node; give the file, the settings, and a render."""
    _enable()
    _build(request)
    node = bpy.context.scene.compositing_node_group.nodes.active
    unsaved = _call(bpy.ops.facegraft.track_faces)
    _save(request)
    result = _call(bpy.ops.facegraft.track_faces, **request.get("options", {}))
    settings = node.node_tree.facegraft
    path = bpy.path.abspath(settings.faces_path)
    _save(request)
    rendered = render(request)
    return {
        "unsaved": unsaved,
        "result": result,
        "path": path,
        **rendered,
    }


def operate(request):
    """Press buttons of the first node in order, then render; give what each answered."""
    _enable()
    _build(request)
    _save(request)
    node = bpy.context.scene.compositing_node_group.nodes.active
    frame = bpy.context.scene.frame_current
    pressed = [
        _call(getattr(bpy.ops.facegraft, name), **values) for name, values in request["buttons"]
    ]
    settings = node.node_tree.facegraft
    answer = {
        "pressed": pressed,
        "moved": bpy.context.scene.frame_current != frame,
        "seats": [list(holder.seat) for holder in (settings, *settings.cast)],
        "cast": [[part.choice, part.model_path] for part in settings.cast],
        "faces": bpy.path.abspath(settings.faces_path),
        "fits": bpy.path.abspath(settings.steady_path),
        "warnings": sys.modules[f"{EXTENSION}.checks"].warnings(bpy.context.scene, node),
    }
    _save(request)
    return {**answer, **render(request)}


def stop(request):
    """Begin each pass over the clip and leave it after its first frames, as Escape does."""
    _enable()
    _build(request)
    _save(request)
    settings = bpy.context.scene.compositing_node_group.nodes.active.node_tree.facegraft
    passes = sys.modules[f"{EXTENSION}.passes"]
    lines = []
    for operator, count in (
        (passes.FACEGRAFT_OT_fit_steady, 2),
        (passes.FACEGRAFT_OT_seat_face, 1),
    ):
        steps = operator.steps(SimpleNamespace(report=print), bpy.context)
        lines += [next(steps) for _ in range(count)]
        steps.close()
    answer = {"lines": lines, "fits": settings.steady_path, "seat": list(settings.seat)}
    return {**answer, **_leftovers()}


def strip_modifier(request):
    """Render a strip whose compositor modifier is the first node's own group, or, with `live`, the
    whole tree in which that node stands, whose clip gives way to the group's input."""
    _enable()
    if request.get("live"):
        _build(request)
    else:
        bpy.ops.wm.open_mainfile(filepath=request["blend"])
    comp = bpy.context.scene
    tree = comp.compositing_node_group
    group = _as_group(comp) if request.get("live") else tree.nodes[request["node"]].node_tree
    edit = bpy.data.scenes.new("Edit")
    edit.frame_start, edit.frame_end = comp.frame_start, comp.frame_end
    edit.view_settings.view_transform = "Standard"
    edit.render.dither_intensity = 0.0
    edit.render.resolution_x, edit.render.resolution_y = request["size"]
    bpy.context.window.scene = edit
    bpy.context.workspace.sequencer_scene = edit  # 5.0 crashes without it
    strips = edit.sequence_editor_create().strips
    strip = strips.new_image("clip", request["source"], channel=1, frame_start=1)
    folder, first = os.path.split(request["source"])
    for i in range(2, request["frames"] + 1):
        strip.elements.append(first.replace("0001", f"{i:04d}"))
    strip.frame_final_duration = request["frames"]
    strip.modifiers.new("face", "COMPOSITOR").node_group = group
    for attribute, value in request.get("strip", {}).items():
        holder, _, name = attribute.rpartition(".")
        setattr(getattr(strip, holder) if holder else strip, name, value)
    for line in request.get("edits", []):
        exec(line, {"strip": strip, "edit": edit, "group": group, "bpy": bpy})
    if request.get("preview"):
        return _strip_preview(edit, strip, group.nodes[request["node"]])
    _set_output(edit.render, request)
    bpy.ops.render.render(animation=True, scene="Edit")
    status = sys.modules[f"{EXTENSION}.status"]
    inner = group if "facegraft_node" in group else group.nodes[request["node"]].node_tree
    last = status.last(inner)
    return {**_leftovers(), "message": last.message if last else "", "strips": len(strips)}


def _strip_preview(edit, strip, node):
    """What the interface's refresh makes of a strip, and buttons for the node that an editor shows;
    needs no window."""
    preview = sys.modules[f"{EXTENSION}.preview"]
    layer = sys.modules[f"{EXTENSION}.nodes"].layer_of(node.node_tree)
    edit.frame_set(1)
    signatures = [preview._signature(edit)]
    preview._refresh(edit)
    covered = max(layer.pixels[:][3::4])
    signatures.append(preview._signature(edit))
    edit.frame_set(2)
    signatures.append(preview._signature(edit))
    strip.frame_start += 1
    signatures.append(preview._signature(edit))
    with bpy.context.temp_override(active_node=node):
        pressed = _call(bpy.ops.facegraft.choose_track, track=4)
    choice = node.node_tree.facegraft.choice
    answer = {"covered": covered, "signatures": signatures, "pressed": pressed, "choice": choice}
    return {**answer, **_leftovers()}


def _as_group(scene):
    """The scene's compositor tree with a group input in the place of its clip, out of the scene."""
    tree = scene.compositing_node_group
    scene.compositing_node_group = None
    tree.interface.new_socket("Image", in_out="INPUT", socket_type="NodeSocketColor")
    entry = tree.nodes.new("NodeGroupInput")
    clips = [n for n in tree.nodes if n.bl_idname == "CompositorNodeImage"]
    for link in [link for link in tree.links if link.from_node in clips]:
        tree.links.new(entry.outputs[0], link.to_socket)
    return tree


def _call(operator, **values):
    """What an operator answers; its error text where it reports one."""
    try:
        return sorted(operator(**values))
    except RuntimeError as error:
        return str(error).strip()


def _save(request):
    bpy.ops.wm.save_as_mainfile(filepath=request["blend"], check_existing=False)


def match_scene(request):
    """Press the button that sets the scene from the clip."""
    _enable()
    _build(request)
    scene = bpy.context.scene
    node = scene.compositing_node_group.nodes.active
    checks = sys.modules[f"{EXTENSION}.checks"]
    scene.view_settings.view_transform = "AgX"
    checks.read_rates(scene)
    before = checks.warnings(scene, node)
    result = bpy.ops.facegraft.match_scene()
    render = scene.render
    return {
        "result": sorted(result),
        "fps": render.fps,
        "base": render.fps_base,
        "size": [render.resolution_x, render.resolution_y],
        "range": [scene.frame_start, scene.frame_end, node.node_tree.facegraft.faces_start],
        "clips": [c.name for c in bpy.data.movieclips],
        "before": before,
        "after": checks.warnings(scene, node),
    }


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
    if "working_space" in request:
        bpy.ops.wm.set_working_color_space(
            working_space=request["working_space"], convert_colors=False
        )
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y = request["size"]
    render.resolution_percentage = request.get("percentage", 100)
    render.fps = request.get("fps", 25)
    scene.frame_start, scene.frame_end = 1, request["frames"]
    scene.view_settings.view_transform = request.get("view", "Standard")
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
        if description.get("bury"):
            _bury(tree, node)
        if description["from"] in made:
            tree.links.new(made[description["from"]].outputs[0], node.inputs[0])
        for label, link in description.get("links", {}).items():
            _link_value(tree, made, node.inputs[label], link)
    output = next(n for n in tree.nodes if n.bl_idname == "NodeGroupOutput")
    tree.links.new(_result(tree, made, request), output.inputs[0])
    _set_output(render, request)
    if request.get("as_strip"):
        _cut_into_a_new_scene(scene, request)
    if "audio" in request:
        editor = scene.sequence_editor_create()
        editor.strips.new_sound("sound", request["audio"], channel=1, frame_start=1)


def _link_value(tree, made, socket, link):
    """link: a number, for a Value node behind a reroute; else the name of a node to link."""
    if isinstance(link, str):
        tree.links.new(made[link].outputs[0], socket)
        return
    value, reroute = tree.nodes.new("ShaderNodeValue"), tree.nodes.new("NodeReroute")
    value.outputs[0].default_value = link
    tree.links.new(value.outputs[0], reroute.inputs[0])
    tree.links.new(reroute.outputs[0], socket)


def _bury(tree, node):
    """Put a FaceGraft node into a group of its own, as Make Group does."""
    group = bpy.data.node_groups.new("Look", "CompositorNodeTree")
    group.interface.new_socket("Image", in_out="INPUT", socket_type="NodeSocketColor")
    group.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    inner = group.nodes.new("CompositorNodeGroup")
    inner.node_tree = node.node_tree
    entry, end = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    group.links.new(entry.outputs[0], inner.inputs[0])
    group.links.new(inner.outputs[0], end.inputs[0])
    node.node_tree = group
    return node


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
    if request["source"] == "RENDER":
        bpy.context.scene.render.engine = "CYCLES"
        bpy.context.scene.cycles.samples = 1
        bpy.context.scene.cycles.use_denoising = False
        return tree.nodes.new("CompositorNodeRLayers")
    node = tree.nodes.new("CompositorNodeImage")
    if request["source"].endswith(".npy"):
        node.image = _float_image(request["source"])
        return node
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


def _float_image(path):
    """A packed float image with the values of an array (H, W, 4), row 0 at the top."""
    import numpy as np

    pixels = np.load(path)
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("float", width, height, alpha=True, float_buffer=True)
    image.alpha_mode = "CHANNEL_PACKED"
    image.pixels.foreach_set(pixels[::-1].ravel())
    image.update()
    image.pack()
    return image


def _configure(node, description):
    settings = node.node_tree.facegraft
    settings.model_path = description.get("model", "")
    settings.faces_path = description.get("faces", "")
    settings.on_error = description.get("on_error", "PASS")
    for name, value in description.get("settings", {}).items():
        setattr(settings, name, value)
    for part in description.get("cast", []):
        entry = settings.cast.add()
        for name, value in part.items():
            setattr(entry, name, value)
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


def _cut_into_a_new_scene(scene, request):
    """A second scene, the one rendered, whose sequencer holds the first as a strip."""
    edit = bpy.data.scenes.new("Edit")
    edit.frame_start, edit.frame_end = scene.frame_start, scene.frame_end
    edit.view_settings.view_transform = "Standard"
    edit.render.dither_intensity = 0.0
    edit.render.resolution_x, edit.render.resolution_y = request["size"]
    edit.sequence_editor_create().strips.new_scene("comp", scene, channel=1, frame_start=1)
    _set_output(edit.render, request)
    bpy.context.window.scene = edit


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
    scratch = [n for n in os.listdir("/dev/shm") if n.startswith(f"facegraft-{os.getpid()}-")]
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
                "faces": len(last.faces),
                "notes": list(last.notes),
                "shown": [dict(face) for face in last.faces],
                "ms": dict(last.ms),
            }
    return found


if __name__ == "__main__":
    known = (
        install, describe, shoot, render, upgrade, interface, bake, keyframes, import_keys, preset,
        pick, track, operate, stop, strip_modifier, match_scene, exr_pixels,
    )  # fmt: skip
    commands = {function.__name__: function for function in known}
    answer = commands[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps(answer), flush=True)
