"""`facegraft mask`: masks of faces, from labels that people draw to a network that draws them."""

from facegraft_cli.lazy import LazyGroup

COMMANDS = {
    "edit": ("mask_labels", "edit", "Draw labels on faces in labelme."),
    "labels": ("mask_labels", "labels", "Labels from and for other programs."),
    "train": ("mask_train", "train", "Train a mask network on labelled faces."),
    "apply": ("mask_apply", "apply", "Compute and store the masks of a faceset."),
    "remove": ("mask_apply", "remove", "Take masks out of a faceset."),
    "import-dfl": ("mask_train", "import_dfl", "Take over an XSeg network of DeepFaceLab."),
    "export": ("mask_train", "export", "Write a trained mask network as one ONNX file."),
}

mask = LazyGroup(
    name="mask",
    package="facegraft_cli",
    table=COMMANDS,
    help="""Masks: which pixels of a face's square are face, and what is in front of it.

    \b
    The whole way:
      facegraft mask edit dst_faces
      facegraft mask train dst_faces masks
      facegraft mask apply dst_faces masks
      facegraft mask export masks masks.onnx
      facegraft merge dst.mp4 result.mp4 --model ada.dfm --faces dst_faces \\
        --segmenter masks.onnx --mask-mode xseg-dst
    """,
)
