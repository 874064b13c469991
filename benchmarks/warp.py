"""Which random warp teaches more: ours, with independent axes, or DeepFaceLab's, whose field is its
own transpose by mistake.

    python benchmarks/warp.py SRC DST TRUTH [--fields ours dfl none] [--seeds 0 1]
                              [--iterations WARPED PLAIN] [--precision fp32|bf16] [--threads N]

SRC and DST are facesets, TRUTH a clip that shows, frame for frame, DST's performance with SRC's
face. The same small network is trained on four fifths of the faces with each field, WARPED
iterations with it and PLAIN ones without, as runs are trained; equal seeds draw equal weights,
batches, turns and shifts. Scored on the other fifth, unwarped: both sides rebuilt, and the swap
against the truth after matching each channel's mean and spread, since the truth has DST's light.
All are PSNR in dB inside the face's mask, means over faces. `none` tells how much a warp matters.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facegraft.faces.align import warp_image
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.media.open import open_source
from facegraft.progress import Silent
from facegraft.training import warp
from facegraft.training.batches import Batches
from facegraft.training.distributed import Group
from facegraft.training.params import TrainParams
from facegraft.training.run_params import resolve
from facegraft.training.samples import Samples
from facegraft.training.setup import choose_precision
from facegraft.training.trainer import Trainer

HELD_OUT = 5  # every fifth face is scored and never trained on
NETWORK = {  # the demo's, a little smaller: nothing but the warp moves the faces
    "architecture": "df-ud", "resolution": 64, "ae_dims": 128, "e_dims": 16, "d_dims": 16,
    "d_mask_dims": 16, "batch_size": 4, "learning_rate": 2e-4, "random_dst_flip": False,
    "rotation": 0.0, "scale": 0.0, "shift": 0.0, "device": "cpu",
}  # fmt: skip
COLUMNS = ("src rebuilt", "dst rebuilt", "swap to truth")


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        src, src_rest = split(Faceset.open(args.src), folder / "src")
        dst, dst_rest = split(Faceset.open(args.dst), folder / "dst")
        truth = answers(dst_rest, args.truth, folder / "truth")
        print("| field | seed | iterations | " + " | ".join(COLUMNS) + " |\n" + "|---" * 6 + "|")
        for seed in args.seeds:
            session = {"seed": seed, "threads": args.threads, "precision": args.precision}
            params = resolve({**NETWORK, **session})
            tests = [squares(faces, params) for faces in (src_rest, dst_rest, truth)]
            for field in args.fields:
                train(src, dst, params, field, args.iterations, tests)


def train(
    src: Faceset,
    dst: Faceset,
    params: TrainParams,
    field: str,
    iterations: Sequence[int],
    tests: list[Tensor],
) -> None:
    """Print a row after the warped iterations and one after those without."""
    group, cpu = Group(), torch.device("cpu")
    trainer = Trainer(params, cpu, choose_precision(params, cpu), group)
    first = 0
    with (
        mock.patch.object(warp, "_draw_nodes", FIELDS[field]),
        Batches(src, dst, params, cpu, group, {}) as batches,
    ):
        batches.load(Silent())
        for count, warped in zip(iterations, (field != "none", False), strict=True):
            for iteration in range(first, first + count):
                trainer.step(*batches.at(iteration, warped), iteration)
            first += count
            figures = " | ".join(f"{value:.2f}" for value in score(trainer, *tests))
            print(f"| {field} | {params.seed} | {first} | {figures} |", flush=True)


def dfl_nodes(count: int, generator: Generator) -> Tensor:
    """As `warp._draw_nodes`: each axis' noise is added to both, so y is the transpose of x."""
    fields = []
    for cells in warp.LEVELS:
        noise = torch.empty(2, count, cells - 1, cells - 1)
        limit = warp.TRUNCATION
        torch.nn.init.trunc_normal_(noise, 0, 1, -limit, limit, generator=generator)
        across = noise.sum(dim=0) * (0.24 / limit * 2 / cells)  # DeepFaceLab's 0.24 cells
        both = F.pad(torch.stack([across, across.transpose(1, 2)], dim=1), (1, 1, 1, 1))
        size = warp.FINEST + 1
        fields.append(F.interpolate(both, size=size, mode="bilinear", align_corners=True))
    level = torch.randint(len(warp.LEVELS), (count,), generator=generator)
    return torch.stack(fields)[level, torch.arange(count)]


FIELDS: dict[str, Callable[[int, Generator], Tensor]] = {
    "ours": warp._draw_nodes,
    "dfl": dfl_nodes,
    "none": warp._draw_nodes,
}


@torch.no_grad()
def score(trainer: Trainer, src: Tensor, dst: Tensor, truth: Tensor) -> tuple[float, ...]:
    """PSNR of the COLUMNS. Faces: (N, 5, R, R) of `squares`."""
    (src_rgb, src_mask), (dst_rgb, dst_mask), (wanted, _) = (
        (side[:, :3], side[:, 3:4] > 0.5) for side in (src, dst, truth)
    )
    net = trainer.net
    swap = matched(net.swap(dst_rgb).src_dst, wanted, dst_mask)
    return (
        psnr(net.reconstruct(src_rgb, src_rgb).src_src, src_rgb, src_mask),
        psnr(net.reconstruct(dst_rgb, dst_rgb).dst_dst, dst_rgb, dst_mask),
        psnr(swap, wanted, dst_mask),
    )


def psnr(image: Tensor, truth: Tensor, mask: Tensor) -> float:
    error = ((image - truth).square() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
    return float((-10 * error.log10()).mean())


def matched(image: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """`image` with the mean and spread of `truth`, by channel, inside the mask."""
    count = mask.sum((2, 3), keepdim=True)

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x * mask).sum((2, 3), keepdim=True) / count
        return mean, (((x - mean) * mask).square().sum((2, 3), keepdim=True) / count).sqrt()

    (mean, spread), (true_mean, true_spread) = moments(image), moments(truth)
    return (image - mean) / spread * true_spread + true_mean


def split(faces: Faceset, folder: Path) -> tuple[Faceset, list[AlignedFace]]:
    """A set of its own to train on, and the faces that are not in it."""
    folder.mkdir()
    for number, face in enumerate(faces):
        if number % HELD_OUT:
            shutil.copy(face.path, folder)
    return Faceset.open(folder), list(faces)[::HELD_OUT]


def answers(faces: Sequence[AlignedFace], clip: Path, folder: Path) -> list[AlignedFace]:
    """The same squares cut from the frames of another clip."""
    folder.mkdir()
    with open_source(clip) as source:
        for face in faces:
            frame, matrix = source[face.origin.frame_index], face.frame_to_aligned
            cut = warp_image(frame.image_u8, matrix, face.size, face.size)
            path = folder / face.path.name
            write_aligned(path, cut, face.face, face.face_type, matrix, face.origin)
    return list(Faceset.open(folder))


def squares(faces: Sequence[AlignedFace], params: TrainParams) -> Tensor:
    """(N, 5, R, R) float32 0..1, as the network frames them."""
    with Samples(faces, "test", params.face_type, params.resolution, 1, 0, watch=False) as samples:
        return warp.to_pictures(samples.squares(range(len(faces))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="DeepFaceLab's symmetric warp against ours")
    parser.add_argument("src", type=Path)
    parser.add_argument("dst", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--fields", nargs="+", choices=list(FIELDS), default=list(FIELDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--iterations", nargs=2, type=int, default=[1000, 500])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
