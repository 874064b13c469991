"""The family amp: one decoder for both people, and a code that can stand anywhere between them.

DeepFaceLab's "AMP" architecture: each person has an inter, and a face's code takes some of its
channels from src's inter and the rest from dst's. In training the channels that src gets from its
own are drawn anew for every face, so that each works in any company; in the swap the morph value
says how many of them, counted from the first, are src's. Both inters are trained, which the
original gave up in its last versions and which leaves its two people apart by chance alone.
All images (N, 3, R, R) float RGB 0..1. Letters: R resolution, A ae_dims, I inter_dims, L = R/32.
"""

from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from facegraft.model_spec import ModelSpec
from facegraft.models.stages import Decoder, Encoder, Reconstruction, Swap

OPTIONS = "udt"  # of its stages, fixed; c would change what its files of origin hold


class Spread(nn.Module):
    """One person's inter: (N, A) -> (N, I, L, L)."""

    def __init__(self, ae_dims: int, inter_dims: int, side: int):
        super().__init__()
        self.spread = nn.Linear(ae_dims, inter_dims * side * side)
        self.shape = (inter_dims, side, side)

    def forward(self, x: Tensor) -> Tensor:
        return self.spread(x).reshape(-1, *self.shape)


class AMP(nn.Module):
    """See `stages.py` for the dims; there are no option letters."""

    inters: ClassVar = ("inter_src", "inter_dst")

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.inter_dims = spec.inter_dims
        side = spec.resolution // 32
        self.encoder = Encoder(spec.resolution, spec.e_dims, OPTIONS)
        self.squeeze = nn.Linear(self.encoder.size, spec.ae_dims)
        self.inter_src = Spread(spec.ae_dims, spec.inter_dims, side)
        self.inter_dst = Spread(spec.ae_dims, spec.inter_dims, side)
        self.decoder = Decoder(spec.inter_dims, spec.d_dims, spec.d_mask_dims, OPTIONS)

    def reconstruct(
        self, src: Tensor, dst: Tensor, with_swap: bool = False, morph: Tensor | None = None
    ) -> Reconstruction:
        """Each side by its own inter, but for the channels where `morph` (N, I) bool is False:
        there src's come from dst's inter. Without `morph` all are src's. The swap's are src's too.
        """
        sizes = [len(src), len(dst)]
        code = self.squeeze(self.encoder(torch.cat([src, dst])))  # 2N A
        own = self.inter_src(code if with_swap else code[: len(src)])  # N or 2N I L L
        other, code_dst = self.inter_dst(code).split(sizes)
        code_src, *swap_codes = own.split(sizes if with_swap else sizes[:1])
        if morph is not None:
            code_src = torch.where(morph[:, :, None, None], code_src, other)
        codes = [code_src, code_dst, *(c.detach() for c in swap_codes)]
        face, mask = self.decoder(torch.cat(codes))
        src_src, dst_dst, *swapped = face.split([len(c) for c in codes])
        src_src_mask, dst_dst_mask, *swapped_mask = mask.split([len(c) for c in codes])
        return Reconstruction(
            src_src, src_src_mask, dst_dst, dst_dst_mask, code_src, code_dst,
            *swapped, *swapped_mask,
        )  # fmt: skip

    def swap(self, dst: Tensor, morph_value: Tensor | float = 1.0) -> Swap:
        """The first int(I * morph_value) channels from src's inter, the rest from dst's.

        `morph_value` 0..1 may be a (1,) float32 tensor on dst's device, as in an exported file.
        """
        if not isinstance(morph_value, Tensor):
            morph_value = torch.tensor([morph_value], device=dst.device)  # float32, as in a file
        code = self.squeeze(self.encoder(dst))  # N A
        code_dst = self.inter_dst(code)  # N I L L
        is_src = channels_of_src(self.inter_dims, morph_value)  # I
        mixed = torch.where(is_src[:, None, None], self.inter_src(code), code_dst)
        src_dst, src_dst_mask = self.decoder(mixed)
        return Swap(src_dst, src_dst_mask, self.decoder.mask(code_dst))

    def forward(
        self, src: Tensor, dst: Tensor, with_swap: bool = False, morph: Tensor | None = None
    ) -> Reconstruction:
        return self.reconstruct(src, dst, with_swap, morph)


def channels_of_src(inter_dims: int, morph_value: Tensor) -> Tensor:
    """(inter_dims,) bool: the first int(inter_dims * morph_value) are True; `morph_value` (1,).

    By comparison and not by slicing, so that an exported file can do it for any value.
    """
    count = torch.arange(1, inter_dims + 1, device=morph_value.device, dtype=torch.float32)
    return count <= inter_dims * morph_value


def draw_morph_mask(
    count: int, inter_dims: int, morph_factor: float, generator: Generator
) -> Tensor:
    """(count, inter_dims) bool on the CPU: in each row int(inter_dims * morph_factor) are True."""
    order = torch.rand(count, inter_dims, generator=generator).argsort(dim=1)
    return order < int(inter_dims * morph_factor)  # a permutation: each rank occurs once
