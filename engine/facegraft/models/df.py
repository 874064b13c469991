"""The family df: one encoder and inter for both people, one decoder each.

DeepFaceLab's "df" architecture: the identity lives in the decoder, so the swap keeps src's
features and shape, and wants faces of similar proportions. All images (N, 3, R, R) float RGB 0..1.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from facegraft.model_spec import ModelSpec
from facegraft.models.stages import Decoder, Encoder, Inter, Reconstruction, Swap


class DF(nn.Module):
    """See `stages.py` for the dims and option letters."""

    inters: ClassVar = ("inter",)

    def __init__(self, spec: ModelSpec):
        super().__init__()
        options = spec.options
        self.encoder = Encoder(spec.resolution, spec.e_dims, options)
        self.inter = Inter(self.encoder.size, spec.resolution, spec.ae_dims, spec.ae_dims, options)
        self.decoder_src = Decoder(spec.ae_dims, spec.d_dims, spec.d_mask_dims, options)
        self.decoder_dst = Decoder(spec.ae_dims, spec.d_dims, spec.d_mask_dims, options)

    def reconstruct(self, src: Tensor, dst: Tensor, with_swap: bool = False) -> Reconstruction:
        """Each side through its own decoder; this is what training compares with the targets."""
        both = torch.cat([src, dst])  # 2N 3 R R: one pass through the shared half
        code = self.inter(self.encoder(both))  # 2N A 2L 2L
        code_src, code_dst = code.split([len(src), len(dst)])
        codes = [code_src, code_dst.detach()] if with_swap else [code_src]
        face, mask = self.decoder_src(torch.cat(codes))
        dst_dst, dst_dst_mask = self.decoder_dst(code_dst)
        sizes = [len(c) for c in codes]
        src_src, *swapped = face.split(sizes)
        src_src_mask, *swapped_mask = mask.split(sizes)
        return Reconstruction(
            src_src, src_src_mask, dst_dst, dst_dst_mask, code_src, code_dst,
            *swapped, *swapped_mask,
        )  # fmt: skip

    def swap(self, dst: Tensor) -> Swap:
        """dst's code through src's decoder."""
        code_dst = self.inter(self.encoder(dst))  # N A 2L 2L
        src_dst, src_dst_mask = self.decoder_src(code_dst)
        return Swap(src_dst, src_dst_mask, self.decoder_dst.mask(code_dst))

    def forward(self, src: Tensor, dst: Tensor, with_swap: bool = False) -> Reconstruction:
        return self.reconstruct(src, dst, with_swap)
