"""The family liae: one decoder for both people, told apart by two inters.

DeepFaceLab's "liae" architecture: `inter_ab` carries what both share (pose, light, expression),
`inter_b` what is dst's own; src fills that half with `inter_ab` again. The swap adapts src's shape
and light to dst. All images (N, 3, R, R) float RGB 0..1.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from facegraft.models.stages import Decoder, Encoder, Inter, Reconstruction, Swap


class LIAE(nn.Module):
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
        inter_dims = 2 * ae_dims
        self.encoder = Encoder(resolution, e_dims, options)
        self.inter_ab = Inter(self.encoder.size, resolution, ae_dims, inter_dims, options)
        self.inter_b = Inter(self.encoder.size, resolution, ae_dims, inter_dims, options)
        self.decoder = Decoder(2 * inter_dims, d_dims, d_mask_dims, options)

    def reconstruct(self, src: Tensor, dst: Tensor) -> Reconstruction:
        """Each side with its own pair of codes; this is what training compares with the targets."""
        sizes = [len(src), len(dst)]
        features = self.encoder(torch.cat([src, dst]))  # 2N F
        ab = self.inter_ab(features)  # 2N 2A 2L 2L
        b_dst = self.inter_b(features[len(src) :])  # N 2A 2L 2L
        ab_src, ab_dst = ab.split(sizes)
        code_src = torch.cat([ab_src, ab_src], dim=1)  # N 4A 2L 2L
        code_dst = torch.cat([b_dst, ab_dst], dim=1)
        face, mask = self.decoder(torch.cat([code_src, code_dst]))  # 2N 3 R R, 2N 1 R R
        src_src, dst_dst = face.split(sizes)
        src_src_mask, dst_dst_mask = mask.split(sizes)
        return Reconstruction(src_src, src_src_mask, dst_dst, dst_dst_mask)

    def swap(self, dst: Tensor) -> Swap:
        """The shared code alone, as for src, while the mask of dst itself takes dst's pair."""
        features = self.encoder(dst)  # N F
        ab = self.inter_ab(features)  # N 2A 2L 2L
        b = self.inter_b(features)
        src_dst, src_dst_mask = self.decoder(torch.cat([ab, ab], dim=1))
        return Swap(src_dst, src_dst_mask, self.decoder.mask(torch.cat([b, ab], dim=1)))

    def forward(self, src: Tensor, dst: Tensor) -> Reconstruction:
        return self.reconstruct(src, dst)
