"""The family df: one encoder and inter for both people, one decoder each.

DeepFaceLab's "df" architecture: the identity lives in the decoder, so the swap keeps src's
features and shape, and wants faces of similar proportions. All images (N, 3, R, R) float RGB 0..1.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from facegraft.models.stages import Decoder, Encoder, Inter, Reconstruction, Swap


class DF(nn.Module):
    """See `stages.py` for the dims and option letters."""

    def __init__(
        self,
        *,
        resolution: int,
        ae_dims: int,
        e_dims: int,
        d_dims: int,
        d_mask_dims: int,
        options: Collection[str],
    ):
        super().__init__()
        self.encoder = Encoder(resolution, e_dims, options)
        self.inter = Inter(self.encoder.size, resolution, ae_dims, ae_dims, options)
        self.decoder_src = Decoder(ae_dims, d_dims, d_mask_dims, options)
        self.decoder_dst = Decoder(ae_dims, d_dims, d_mask_dims, options)

    def reconstruct(self, src: Tensor, dst: Tensor) -> Reconstruction:
        """Each side through its own decoder; this is what training compares with the targets."""
        both = torch.cat([src, dst])  # 2N 3 R R: one pass through the shared half
        code = self.inter(self.encoder(both))  # 2N A 2L 2L
        code_src, code_dst = code.split([len(src), len(dst)])
        src_src, src_src_mask = self.decoder_src(code_src)
        dst_dst, dst_dst_mask = self.decoder_dst(code_dst)
        return Reconstruction(src_src, src_src_mask, dst_dst, dst_dst_mask)

    def swap(self, dst: Tensor) -> Swap:
        """dst's code through src's decoder."""
        code_dst = self.inter(self.encoder(dst))  # N A 2L 2L
        src_dst, src_dst_mask = self.decoder_src(code_dst)
        return Swap(src_dst, src_dst_mask, self.decoder_dst.mask(code_dst))

    def forward(self, src: Tensor, dst: Tensor) -> Reconstruction:
        return self.reconstruct(src, dst)
