"""TrainParams: every option of a training run, once: flags, TOML file and run folder use it.

Torch-free, so that `facegraft train --help` costs nothing. The defaults are DeepFaceLab's SAEHD;
other sets of defaults for the same rows are in `presets.py`, and what a run's folder keeps in
`run_params.py`. Rows that shape the networks can not change once a run exists.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from facegraft.controls import control
from facegraft.errors import ParameterError
from facegraft.model_spec import FaceType, ModelSpec
from facegraft.training.kinds import ColorTransfer

AMP_INTER_DIMS = 1024  # DeepFaceLab's default


class Optimizer(StrEnum):
    ADABELIEF = "adabelief"
    RMSPROP = "rmsprop"


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Device(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Compile(StrEnum):
    AUTO = "auto"
    ON = "on"
    OFF = "off"


class OnDivergence(StrEnum):
    ROLLBACK = "rollback"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class TrainParams:
    """Values of every training option. The defaults are the `saehd` preset."""

    architecture: str = control(
        "liae-ud",
        label="Architecture",
        help="df keeps the src identity, liae adapts to the dst light and shape, amp morphs "
        "between the two people; letters after the dash (df and liae): u steadies the code, "
        "d doubles the output resolution, t is deeper, c another activation",
        group="Network",
    )
    resolution: int = control(
        128,
        label="Resolution",
        help="Side of the square the model sees and makes; a multiple of 16, with d or t and for "
        "amp of 32",
        hard=(64, 640),
        unit="px",
        group="Network",
    )
    face_type: FaceType = control(
        FaceType.FULL,
        label="Face type",
        help="How much of the head the square holds",
        group="Network",
    )
    ae_dims: int = control(
        256,
        label="Inter dims",
        help="Features of the code between encoder and decoder",
        hard=(32, 1024),
        unit="features",
        group="Network",
    )
    e_dims: int = control(
        64,
        label="Encoder dims",
        help="Features of the encoder's first layer",
        hard=(16, 256),
        unit="features",
        group="Network",
    )
    d_dims: int = control(
        64,
        label="Decoder dims",
        help="Features of the decoder's last layer",
        hard=(16, 256),
        unit="features",
        group="Network",
    )
    d_mask_dims: int = control(
        22,
        label="Mask decoder dims",
        help="Features of the mask branch's last layer; a third of the decoder's is enough",
        hard=(16, 256),
        unit="features",
        group="Network",
    )
    inter_dims: int = control(
        0,
        label="Morph dims",
        help="Features of each of amp's two inters; 0, as df and liae need it, is 1024 for amp",
        hard=(0, 2048),
        unit="features",
        group="Network",
    )
    batch_size: int = control(
        8,
        label="Batch size",
        help="Faces of each side per iteration; larger is smoother and slower; 0 takes the largest "
        "that fits into memory",
        hard=(0, 512),
        unit="faces",
        group="Optimizer",
    )
    optimizer: Optimizer = control(
        Optimizer.ADABELIEF,
        label="Optimizer",
        help="Adabelief is steadier; rmsprop keeps one number per weight instead of two",
        group="Optimizer",
    )
    learning_rate: float = control(
        5e-5,
        label="Learning rate",
        help="Size of a weight's step",
        hard=(1e-7, 1e-2),
        group="Optimizer",
    )
    lr_dropout: bool = control(
        False,
        label="Learning-rate dropout",
        help="Each step updates a random 30 percent of the weights; finds finer detail, late in a "
        "run",
        group="Optimizer",
    )
    lr_cycle: int = control(
        0,
        label="Learning-rate cycle",
        help="Period of a cosine that takes the rate to zero and back; 0 keeps it constant",
        hard=(0, 100_000),
        unit="iterations",
        group="Optimizer",
    )
    clip_gradient: float = control(
        0.0,
        label="Clip gradient",
        help="Longest step allowed, as the norm of all gradients; 1 prevents most collapses; 0 off",
        hard=(0.0, 100.0),
        group="Optimizer",
    )
    optimizer_on_cpu: bool = control(
        False,
        label="Optimizer on CPU",
        help="Keep the optimizer's memory beside the processor: slower, and room for a larger "
        "model on a small GPU",
        group="Optimizer",
    )
    checkpoint_activations: bool = control(
        False,
        label="Recompute activations",
        help="Compute parts of the forward pass twice instead of keeping them: about a third "
        "slower; saves memory where pictures and batches fill it, from 256 px on, not the weights",
        group="Optimizer",
    )
    masked_training: bool = control(
        True,
        label="Masked training",
        help="Count errors inside the face's outline only, so that nothing is spent on background",
        group="Loss",
    )
    wide_mask: bool = control(
        True,
        label="Wide mask",
        help="In masked training, count the face's edge and a little beyond in full; off, the edge "
        "counts half",
        group="Loss",
    )
    eyes_mouth_priority: bool = control(
        False,
        label="Eyes and mouth priority",
        help="Count errors in eyes and mouth many times more: right gaze and teeth, a little less "
        "detail elsewhere",
        group="Loss",
    )
    blur_out_mask: bool = control(
        False,
        label="Blur out mask",
        help="Blur what lies outside the face in the targets, so that its edge draws no attention",
        group="Loss",
    )
    face_style_power: float = control(
        0.0,
        label="Face style",
        help="Pull the swapped face to the colours of the dst face; begin at 0.001 after 10,000 "
        "iterations, keep backups",
        hard=(0.0, 100.0),
        group="Loss",
    )
    background_style_power: float = control(
        0.0,
        label="Background style",
        help="Pull the swapped square to the dst picture outside the face; 2 is usual",
        hard=(0.0, 100.0),
        group="Loss",
    )
    true_face_power: float = control(
        0.0,
        label="True face",
        help="df only: a second network makes the codes of src pass for those of dst, so that dst "
        "comes out with more of src's likeness; 0.01 is usual",
        hard=(0.0, 1.0),
        group="Loss",
    )
    gan_power: float = control(
        0.0,
        label="GAN",
        help="A second network judges the picture's detail; last phase only, with random warp off; "
        "0.1 is usual",
        hard=(0.0, 5.0),
        group="Loss",
    )
    gan_patch_size: int = control(
        0,
        label="GAN patch",
        help="Side of what the judge sees at once; 0 takes an eighth of the resolution",
        hard=(0, 640),
        unit="px",
        group="Loss",
    )
    gan_dims: int = control(
        16,
        label="GAN dims",
        help="Features of the judge's first layer",
        hard=(4, 512),
        unit="features",
        group="Loss",
    )
    morph_factor: float = control(
        0.5,
        label="Morph factor",
        help="amp only: share of src's own features in training; lower needs longer and morphs "
        "better",
        hard=(0.1, 0.5),
        group="Loss",
    )
    random_warp: bool = control(
        True,
        label="Random warp",
        help="Distort what the network sees, so that it learns the face and not the picture; "
        "switch off for the last part of a run",
        group="Augmentation",
    )
    warp_iterations: int = control(
        0,
        label="Warp until",
        help="Switch random warp off after this many iterations of the run; 0 keeps it",
        hard=(0, 100_000_000),
        unit="iterations",
        group="Augmentation",
    )
    unwarped_every: int = control(
        0,
        label="Unwarped every",
        help="Repeat the previous batch without warp at every n-th iteration; 0 never",
        hard=(0, 1000),
        unit="iterations",
        group="Augmentation",
    )
    random_src_flip: bool = control(
        False,
        label="Random src flip",
        help="Mirror some src faces; helps when src lacks one side, harms asymmetric faces",
        group="Augmentation",
    )
    random_dst_flip: bool = control(
        True,
        label="Random dst flip",
        help="Mirror some dst faces",
        group="Augmentation",
    )
    rotation: float = control(
        10.0,
        label="Rotation",
        help="Largest random rotation to either side",
        hard=(0.0, 45.0),
        unit="degrees",
        group="Augmentation",
    )
    scale: float = control(
        15.0,
        label="Scale",
        help="Largest random change of size, up or down",
        hard=(0.0, 50.0),
        unit="percent",
        group="Augmentation",
    )
    shift: float = control(
        5.0,
        label="Shift",
        help="Largest random offset on each axis, in percent of the square",
        hard=(0.0, 25.0),
        unit="percent",
        group="Augmentation",
    )
    hsv_power: float = control(
        0.0,
        label="HSV power",
        help="Vary hue, saturation and value of what the network sees of src; 0.05 is usual",
        hard=(0.0, 0.3),
        group="Augmentation",
    )
    color_transfer: ColorTransfer = control(
        ColorTransfer.NONE,
        label="Colour transfer",
        help="Give src faces the colours of random dst faces, by this method",
        group="Augmentation",
    )
    uniform_yaw: bool = control(
        False,
        label="Uniform yaw",
        help="Show all head turns equally often, however rare some are in the set",
        group="Augmentation",
    )
    pretrain: bool = control(
        False,
        label="Pretrain",
        help="Learn faces as such: both sides should be a large set of many people; on switching "
        "it off the run begins at 0 again with what was learned",
        group="Session",
    )
    target_iterations: int = control(
        0,
        label="Target iterations",
        help="Stop after this many iterations, counted from the run's beginning; 0 trains until "
        "stopped with Ctrl-C",
        hard=(0, 100_000_000),
        unit="iterations",
        group="Session",
    )
    save_minutes: float = control(
        25.0,
        label="Save every",
        help="Time between two saves; a run also saves after its first iteration and at its end",
        hard=(0.1, 1440.0),
        unit="minutes",
        group="Session",
    )
    keep_saves: int = control(
        3,
        label="Keep saves",
        help="Older saves are removed",
        hard=(1, 100),
        unit="saves",
        group="Session",
    )
    backup_hours: float = control(
        0.0,
        label="Back up every",
        help="Time between two backups: hourly ones are kept for a day, then one a day; 0 off",
        hard=(0.0, 168.0),
        unit="hours",
        group="Session",
    )
    preview_minutes: float = control(
        1.0,
        label="Preview every",
        help="Time between two preview sheets and loss curves; 0 draws them with each save only",
        hard=(0.0, 1440.0),
        unit="minutes",
        group="Session",
    )
    preview_history: bool = control(
        False,
        label="Preview history",
        help="Keep every preview sheet, for a look back or a time-lapse",
        group="Session",
    )
    tensorboard: bool = control(
        False,
        label="TensorBoard",
        help="Write the losses as TensorBoard event files too, into the run's folder",
        group="Session",
    )
    on_divergence: OnDivergence = control(
        OnDivergence.ROLLBACK,
        label="On divergence",
        help="When the loss explodes: go back to the last good save with half the learning rate, "
        "or stop",
        group="Session",
    )
    precision: Precision = control(
        Precision.AUTO,
        label="Precision",
        help="Number format of the networks' arithmetic; auto takes bf16 on a GPU that has it and "
        "fp32 elsewhere",
        group="Session",
    )
    compile: Compile = control(
        Compile.AUTO,
        label="Compile",
        help="Let torch compile the networks: minutes at the start, faster steps on a GPU; auto "
        "does it there only",
        group="Session",
    )
    device: Device = control(
        Device.AUTO,
        label="Device",
        help="Where to train; auto takes the GPU when there is one",
        group="Session",
    )
    seed: int = control(
        0,
        label="Seed",
        help="Start of every random choice; equal seeds give equal runs on one machine",
        hard=(0, 1_000_000_000),
        group="Session",
    )
    threads: int = control(
        0,
        label="Threads",
        help="Processor threads for arithmetic and image decoding; 0 takes one per core",
        hard=(0, 256),
        unit="threads",
        group="Session",
    )

    def __post_init__(self) -> None:
        if self.unwarped_every == 1:
            raise ParameterError(
                "unwarped_every is 1, which would repeat one batch for ever; take 0 for never, or "
                "2 and more"
            )

    @property
    def spec(self) -> ModelSpec:
        spec = ModelSpec(**{name: getattr(self, name) for name in NETWORK_ROWS})
        wants_default = spec.family == "amp" and not spec.inter_dims
        return replace(spec, inter_dims=AMP_INTER_DIMS) if wants_default else spec


NETWORK_ROWS = (  # what a run can not change once it has weights
    "architecture", "resolution", "face_type", "ae_dims", "e_dims", "d_dims", "d_mask_dims",
    "inter_dims",
)  # fmt: skip
