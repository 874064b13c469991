"""The demo's shot in Blender: clip -> FaceGraft node with keys -> movie with the clip's sound.

    python scene.py REQUEST.json                    (a Python that has bpy)
    blender -b --python scene.py -- REQUEST.json    (Blender)

The request holds: clip, faces, model, frames, size, fps, keys {input: [[frame, value], ...]},
movie, blend, stills {output: [frames]} and stills_folder. It renders the animation to `movie` by
Blender's own exporter, then single frames of the node's outputs as `OUTPUT_FRAME.png`, beside the
keyed values of those frames as `values.json`.
"""

import json
import sys
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

EXTENSION = "bl_ext.user_default.facegraft"
CRF = "PERC_LOSSLESS"  # Blender's name for crf 17: the grain stays
FAILED = 3  # exit code, the same that the add-on uses


def build(request):
    """The scene as a user would make it; gives its compositor tree and the FaceGraft node."""
    scene = bpy.context.scene
    width, height = request["size"]
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    scene.render.fps = request["fps"]
    scene.frame_start, scene.frame_end = 1, request["frames"]
    scene.view_settings.view_transform = "Standard"  # a finished clip: no film look on top
    scene.render.dither_intensity = 0.0

    tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    output = tree.nodes.new("NodeGroupOutput")
    scene.compositing_node_group = tree

    clip = tree.nodes.new("CompositorNodeImage")
    clip.image = bpy.data.images.load(request["clip"])
    clip.image.source = "MOVIE"
    clip.frame_duration = request["frames"]
    clip.frame_start = 1
    clip.use_auto_refresh = True

    bpy.ops.facegraft.add_node()
    node = tree.nodes.active
    settings = node.node_tree.facegraft
    settings.model_path = request["model"]
    settings.faces_path = request["faces"]
    settings.on_error = "FAIL"
    for name, keys in request["keys"].items():
        for frame, value in keys:
            node.inputs[name].default_value = value
            node.inputs[name].keyframe_insert("default_value", frame=frame)

    for x, placed in zip((-600, -300, 100), (clip, node, output), strict=True):
        placed.location = (x, 0)
    tree.links.new(clip.outputs[0], node.inputs[0])
    tree.links.new(node.outputs[0], output.inputs[0])
    strips = scene.sequence_editor_create().strips
    strips.new_sound("sound", request["clip"], channel=1, frame_start=1)
    return tree, node, output


def render_movie(request):
    render = bpy.context.scene.render
    render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.constant_rate_factor = CRF
    render.ffmpeg.audio_codec = "AAC"
    render.filepath = request["movie"]
    bpy.ops.render.render(animation=True)


def render_stills(request, tree, node, output):
    scene = bpy.context.scene
    scene.render.image_settings.media_type = "IMAGE"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    values = {}
    for name, frames in request["stills"].items():
        tree.links.new(node.outputs[name], output.inputs[0])
        for frame in frames:
            scene.frame_set(frame)
            target = Path(request["stills_folder"]) / f"{name}_{frame:04d}.png"
            scene.render.filepath = str(target)
            bpy.ops.render.render(write_still=True)
            values[frame] = {key: node.inputs[key].default_value for key in request["keys"]}
    text = json.dumps(values)
    (Path(request["stills_folder"]) / "values.json").write_text(text, encoding="utf-8")
    tree.links.new(node.outputs[0], output.inputs[0])


def main():
    path = sys.argv[sys.argv.index("--") + 1] if "--" in sys.argv else sys.argv[1]
    # Blender's own scripts are on the path only once bpy was imported
    import addon_utils  # pyright: ignore[reportMissingImports]

    request = json.loads(Path(path).read_text(encoding="utf-8"))
    if addon_utils.enable(EXTENSION) is None:
        print(f"error: the extension {EXTENSION} is not installed; run install.py blender")
        return FAILED
    tree, node, output = build(request)
    bpy.ops.wm.save_as_mainfile(filepath=request["blend"], check_existing=False)
    render_movie(request)
    render_stills(request, tree, node, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
