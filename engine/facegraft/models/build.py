"""build(spec): a network from its ModelSpec. The registry of families and the limits of a spec.

A new family is one file beside df.py with the same constructor and the two paths of SwapNet, and
one line in FAMILIES.
"""

from facegraft.errors import ParameterError
from facegraft.model_spec import ModelSpec
from facegraft.models.blocks import init_weights
from facegraft.models.df import DF
from facegraft.models.liae import LIAE
from facegraft.models.stages import OPTIONS

SwapNet = DF | LIAE

FAMILIES: dict[str, type[DF] | type[LIAE]] = {"df": DF, "liae": LIAE}

RESOLUTION = (64, 640)  # px; DeepFaceLab's limits, and those of the rows below
DIMS = {
    "ae_dims": (32, 1024),
    "e_dims": (16, 256),
    "d_dims": (16, 256),
    "d_mask_dims": (16, 256),
}


def check_spec(spec: ModelSpec) -> None:
    """Raises: ParameterError naming the value, its limits and the nearest good one."""
    if spec.family not in FAMILIES:
        raise ParameterError(
            f"architecture {spec.architecture!r} is of no known family; it begins with "
            f"{' or '.join(FAMILIES)}, as in df-ud"
        )
    letters = spec.architecture.partition("-")[2]
    for letter in letters:
        if letter not in OPTIONS:
            raise ParameterError(
                f"architecture {spec.architecture!r} has the unknown option {letter!r}; "
                f"the options are {', '.join(OPTIONS)}"
            )
    if len(set(letters)) != len(letters) or spec.architecture.endswith("-"):
        raise ParameterError(
            f"architecture {spec.architecture!r} is malformed; after the dash each option letter "
            f"stands once, as in {spec.family}-ud"
        )
    low, high = RESOLUTION
    step = 32 if spec.options & {"d", "t"} else 16  # what the last halving must still divide
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


def build(spec: ModelSpec) -> SwapNet:
    """The network, freshly initialised from torch's random generator, on the CPU, in float32.

    net.reconstruct(src, dst) -> Reconstruction    for training; src and dst may be warped
    net.swap(dst) -> Swap                          for preview and export

    Raises: ParameterError, see `check_spec`.
    """
    check_spec(spec)
    net = FAMILIES[spec.family](
        resolution=spec.resolution,
        ae_dims=spec.ae_dims,
        e_dims=spec.e_dims,
        d_dims=spec.d_dims,
        d_mask_dims=spec.d_mask_dims,
        options=spec.options,
    )
    init_weights(net)
    return net
