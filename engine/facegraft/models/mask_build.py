"""build_mask_net(): a mask network by name. A new one is one file and one entry in NETWORKS."""

from collections.abc import Callable

from torch import nn

from facegraft.errors import ParameterError
from facegraft.models.blocks import init_weights
from facegraft.models.mask_light import MaskLight
from facegraft.models.xseg import XSeg

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "light": lambda _resolution: MaskLight(),
    "xseg": XSeg,
}


def build_mask_net(name: str, resolution: int) -> nn.Module:
    """(N, 3, R, R) RGB 0..1 to (N, 1, R, R) logits, freshly drawn from torch's generator, on the
    CPU in float32. Raises: ParameterError for an unknown name.
    """
    if name not in NETWORKS:
        raise ParameterError(f"mask network {name!r} is unknown; there are {', '.join(NETWORKS)}")
    net = NETWORKS[name](resolution)
    init_weights(net)
    if isinstance(net, MaskLight):
        net.begin_simply()
    return net
