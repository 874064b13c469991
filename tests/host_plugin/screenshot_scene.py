"""The compositor with a FaceGraft node at work, for the pictures in the documentation.

    blender --python screenshot_scene.py -- REQUEST.json       (a Blender with a window)

The request is that of `install/demo/scene.py`, and `frame`, `zoom`, `offset`, `pan`, `ready`,
`done`, and, where wanted, `settings` and `values` of the node and `buttons` [[operator, values],
...] that are pressed first: once the node's face is in the backdrop the file `ready` is written,
and Blender ends when `done` is there. The picture is taken from outside, for example by
ImageMagick's `import -window root`, since Blender's own screenshots from a script are black.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

REPOSITORY = Path(__file__).resolve().parents[2]
EXTENSION = "bl_ext.user_default.facegraft"
TICK_S = 0.5
REST_TICKS = 6  # until the last redraw is on the screen
SETTLE_TICKS = 2  # a workspace needs a moment before its editors have a size


class Show:
    """Called by a timer; each call does the next thing and says when to come again."""

    def __init__(self, request):
        self.request = request
        self.steps = iter(self.run())

    def __call__(self):
        try:
            return next(self.steps, None)
        except Exception:
            traceback.print_exc()
            sys.stdout.flush()
            os._exit(1)  # Blender would wait for ever

    def run(self):
        window = bpy.context.window_manager.windows[0]
        window.workspace = bpy.data.workspaces["Compositing"]
        yield from [TICK_S] * SETTLE_TICKS
        tree, node, output = self.build()
        self.arrange(window)
        yield from [TICK_S] * SETTLE_TICKS
        area = window.screen.areas[0]  # the compositor alone, in a screen of its own
        self.open_sidebar(area)
        yield from [TICK_S] * SETTLE_TICKS
        region = next(r for r in area.regions if r.type == "WINDOW")
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.node.view_all()
            bpy.ops.view2d.pan(deltax=self.request["pan"], deltay=0)
        status = sys.modules[f"{EXTENSION}.status"]
        last = status.last(node.node_tree)
        while last is None or last.frame != self.request["frame"]:
            yield TICK_S
            last = status.last(node.node_tree)
        first = last
        bpy.ops.facegraft.refresh()  # the first one loaded networks, whose time is not the node's
        while last is first:
            yield TICK_S
            last = status.last(node.node_tree)
        print(f"status: {last.outcome} {last.message} {last.notes}", flush=True)
        yield from [TICK_S] * REST_TICKS
        Path(self.request["ready"]).write_text(last.outcome.value, encoding="utf-8")
        while not Path(self.request["done"]).exists():
            yield TICK_S
        os._exit(0)

    def build(self):
        sys.path.insert(0, str(REPOSITORY / "install" / "demo"))
        import scene as demo  # pyright: ignore[reportMissingImports]

        bpy.ops.wm.save_as_mainfile(filepath=self.request["blend"])  # paths may begin with //
        tree, node, output = demo.build(self.request)
        viewer = tree.nodes.new("CompositorNodeViewer")
        tree.links.new(node.outputs["Image"], viewer.inputs[0])
        clip = node.inputs["Image"].links[0].from_node
        for placed, place in (
            (clip, (-260, 0)), (node, (0, 0)), (output, (300, 0)), (viewer, (300, -120)),
        ):  # fmt: skip
            placed.location = place
            placed.select = placed == node
        tree.nodes.active = node
        settings = node.node_tree.facegraft
        settings.on_error = "PASS"
        settings.show_faces = self.request.get("show_faces", False)
        for name, value in self.request.get("settings", {}).items():
            setattr(settings, name, value)
        for name, value in self.request.get("values", {}).items():
            node.inputs[name].default_value = value
        for name, values in self.request.get("buttons", []):
            print(name, getattr(bpy.ops.facegraft, name)(**values), flush=True)
        bpy.context.scene.frame_set(self.request["frame"])
        return tree, node, output

    def arrange(self, window):
        """The compositor over the whole window, the picture in its backdrop."""
        area = max(window.screen.areas, key=lambda a: (a.type == "NODE_EDITOR", a.width))
        space = area.spaces.active
        space.node_tree_sub_type = "SCENE"
        space.show_backdrop = True
        space.show_region_ui = True
        space.show_region_asset_shelf = False
        space.backdrop_zoom = self.request["zoom"]
        space.backdrop_offset = self.request["offset"]
        with bpy.context.temp_override(window=window, area=area):
            bpy.ops.screen.screen_full_area(use_hide_panels=False)

    def open_sidebar(self, area):
        sidebar = next(r for r in area.regions if r.type == "UI")
        sidebar.active_panel_category = "FaceGraft"


def main():
    import addon_utils  # pyright: ignore[reportMissingImports]

    request = json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8"))
    assert addon_utils.enable(EXTENSION) is not None, "the extension is not installed"
    bpy.app.timers.register(Show(request), first_interval=TICK_S)


if __name__ == "__main__":
    main()
