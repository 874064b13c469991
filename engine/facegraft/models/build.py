"""build(spec): a network from its ModelSpec. The registry of families and the limits of a spec.

A new family is one file beside df.py with the same constructor and the two paths of SwapNet, and
one line in FAMILIES and in LETTERS.
"""

from torch import nn

from facegraft.errors import ParameterError
from facegraft.model_spec import ModelSpec
from facegraft.models.amp import AMP
from facegraft.models.blocks import init_weights
from facegraft.models.df import DF
from facegraft.models.liae import LIAE
from facegraft.models.stages import OPTIONS, Blocks

SwapNet = DF | LIAE | AMP

FAMILIES: dict[str, type[DF] | type[LIAE] | type[AMP]] = {"df": DF, "liae": LIAE, "amp": AMP}
LETTERS = {"df": OPTIONS, "liae": OPTIONS, "amp": ""}  # the options that each leaves to choose

RESOLUTION = (64, 640)  # px; DeepFaceLab's limits, and those of the rows below
DIMS = {
    "ae_dims": (32, 1024),
    "e_dims": (16, 256),
    "d_dims": (16, 256),
    "d_mask_dims": (16, 256),
}
INTER_DIMS = (32, 2048)  # of amp


def check_spec(spec: ModelSpec) -> None:
    """Raises: ParameterError naming the value, its limits and the nearest good one."""
    if spec.family not in FAMILIES:
        raise ParameterError(
            f"architecture {spec.architecture!r} is of no known family; it begins with "
            f"{', '.join(FAMILIES)}, as in df-ud"
        )
    _check_letters(spec)
    low, high = RESOLUTION
    # what the last halving must still divide
    step = 32 if spec.family == "amp" or spec.options & {"d", "t"} else 16
    if not low <= spec.resolution <= high or spec.resolution % step:
        nearest = min(max(round(spec.resolution / step) * step, low), high)
        raise ParameterError(
            f"resolution is {spec.resolution}; {spec.architecture} takes a multiple of {step} "
            f"from {low} to {high}, for example {nearest}"
        )
    for name, (low, high) in DIMS.items():
        value = getattr(spec, name)
        if not low <= value <= high:
            raise ParameterError(f"{name} is {value}; the limits are {low} to {high}")
    low, high = INTER_DIMS if spec.family == "amp" else (0, 0)
    if not low <= spec.inter_dims <= high:
        limits = f"the limits are {low} to {high}" if high else "it is amp's alone; leave it at 0"
        raise ParameterError(f"inter_dims is {spec.inter_dims} for {spec.architecture}; {limits}")


def _check_letters(spec: ModelSpec) -> None:
    known = LETTERS[spec.family]
    if "-" in spec.architecture and not known:
        raise ParameterError(
            f"architecture {spec.architecture!r} has options, and {spec.family} takes none; write "
            f"{spec.family}"
        )
    letters = spec.architecture.partition("-")[2]
    for letter in letters:
        if letter not in known:
            raise ParameterError(
                f"architecture {spec.architecture!r} has the unknown option {letter!r}; "
                f"the options are {', '.join(known)}"
            )
    if len(set(letters)) != len(letters) or spec.architecture.endswith("-"):
        raise ParameterError(
            f"architecture {spec.architecture!r} is malformed; after the dash each option letter "
            f"stands once, as in {spec.family}-ud"
        )


def build(spec: ModelSpec) -> SwapNet:
    """The network, freshly initialised from torch's random generator, on the CPU, in float32.

    net.reconstruct(src, dst) -> Reconstruction    for training; src and dst may be warped
    net.swap(dst) -> Swap                          for preview and export

    Raises: ParameterError, see `check_spec`.
    """
    check_spec(spec)
    net = FAMILIES[spec.family](spec)
    init_weights(net)
    return net


def reset_inters(net: SwapNet) -> None:
    """Initialise what holds the identities anew, from torch's random generator, in place.

    So a pretrained network starts on two new people: it keeps how to see and draw a face.
    """
    for name in net.inters:
        init_weights(net.get_submodule(name))


def set_checkpointing(net: nn.Module, on: bool) -> None:
    """Whether the stages keep few activations and compute the others again in backward."""
    for module in net.modules():
        if isinstance(module, Blocks):
            module.recompute = on
