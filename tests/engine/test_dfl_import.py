"""Models of DeepFaceLab's compute here what they compute there, and train on."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from facegraft.errors import DflFormatError, ParameterError, SourceNotFound
from facegraft.model_spec import ModelRecord
from facegraft.models.amp import AMP
from facegraft.models.build import SwapNet, build
from facegraft.models.discriminator import CodeDiscriminator, PatchDiscriminator
from facegraft.training.checkpoint import Checkpoint, load_checkpoint
from facegraft.training.dfl_import import import_model
from facegraft.training.export import export_run
from facegraft.training.optim import AdaBelief, RMSprop
from facegraft.training.restore import restore_group, restore_optimizer
from facegraft.training.run_params import read_params
from tests.engine.dfl_models import (
    SAEHD_OPTIONS,
    Maker,
    Reference,
    convolve,
    convolve_transposed,
    optimizer_file,
    write_model,
)

TOLERANCE = 1e-5  # of outputs 0..1: float32 here, float64 in the reference


def notes_of(folder: Path, name: str, run: Path) -> tuple[str, ...]:
    return import_model(folder, name, run, lambda text: None).notes


def saved(run: Path) -> Checkpoint:
    checkpoint = load_checkpoint(run, print)
    assert checkpoint is not None
    return checkpoint


def network_of(run: Path) -> SwapNet:
    checkpoint = saved(run)
    net = build(checkpoint.params.spec)
    restore_group(checkpoint, "net", net)
    return net.eval()


def assert_computes_alike(net: SwapNet, reference: Reference) -> None:
    """Both reconstructions and the swap, on noise: BGR there, RGB here."""
    r = reference.r
    src, dst = np.random.default_rng(8).random((2, 2, r, r, 3))

    def ours(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image[..., ::-1].copy()).permute(0, 3, 1, 2).float()

    with torch.no_grad():
        made = net.reconstruct(ours(src), ours(dst))
        swap = net.swap(ours(dst))
    dst_dst = reference.dst_dst(dst)
    for pair, wanted in (
        ((made.src_src, made.src_src_mask), reference.src_src(src)),
        ((made.dst_dst, made.dst_dst_mask), dst_dst),
        ((swap.src_dst, swap.src_dst_mask), reference.swap(dst)),
    ):
        face, mask = (t.permute(0, 2, 3, 1).numpy() for t in pair)
        assert np.ptp(wanted[0]) > 0.2  # the reference itself says something
        np.testing.assert_allclose(face[..., ::-1], wanted[0], atol=TOLERANCE)
        np.testing.assert_allclose(mask, wanted[1], atol=TOLERANCE)
    dst_mask = swap.dst_dst_mask.permute(0, 2, 3, 1)
    np.testing.assert_allclose(dst_mask, dst_dst[1], atol=TOLERANCE)


@pytest.mark.parametrize(
    "archi", ["df", "df-ud", "df-udt", "df-c", "liae", "liae-ud", "liae-t", "liae-udtc"]
)  # fmt: skip
def test_saehd_computes_the_same(tmp_path: Path, archi: str) -> None:
    reference = Reference(archi, 64, 32, 16, 16, 16)
    write_model(tmp_path / "model", "new_SAEHD", reference.files, {**SAEHD_OPTIONS, "archi": archi})
    imported = import_model(tmp_path / "model", "new", tmp_path / "run", print)
    assert (imported.params.architecture, imported.iteration) == (archi, 1000)
    assert_computes_alike(network_of(tmp_path / "run"), reference)


def test_dims_that_differ_are_not_confused(tmp_path: Path) -> None:
    dims = {"resolution": 64, "ae_dims": 40, "e_dims": 18, "d_dims": 20, "d_mask_dims": 22}
    reference = Reference("liae-ud", 64, 40, 18, 20, 22)
    options = {**SAEHD_OPTIONS, **dims, "archi": "liae-ud"}
    write_model(tmp_path, "my_face_SAEHD", reference.files, options)
    import_model(tmp_path, "my_face", tmp_path / "run", print)
    assert_computes_alike(network_of(tmp_path / "run"), reference)


def test_quick96_computes_the_same(tmp_path: Path) -> None:
    reference = Reference("df-ud", 96, 128, 64, 64, 16)
    write_model(tmp_path, "q_Quick96", reference.files, {"batch_size": 4})
    params = import_model(tmp_path, "q", tmp_path / "run", print).params
    assert (params.architecture, params.resolution, params.optimizer) == ("df-ud", 96, "rmsprop")
    assert (params.learning_rate, params.unwarped_every) == (2e-4, 3)
    assert_computes_alike(network_of(tmp_path / "run"), reference)


AMP_OPTIONS = {
    "resolution": 64, "face_type": "wf", "ae_dims": 32, "inter_dims": 48, "e_dims": 16,
    "d_dims": 16, "d_mask_dims": 16, "morph_factor": 0.3, "batch_size": 2,
}  # fmt: skip


def test_amp_computes_the_same_at_every_morph_value(tmp_path: Path) -> None:
    reference = Reference("amp", 64, 32, 16, 16, 16, inter=48)
    write_model(tmp_path, "a_AMP", reference.files, AMP_OPTIONS)
    params = import_model(tmp_path, "a", tmp_path / "run", print).params
    assert (params.architecture, params.morph_factor) == ("amp", 0.3)
    net = network_of(tmp_path / "run")
    assert_computes_alike(net, reference)
    assert isinstance(net, AMP)
    dst = np.random.default_rng(3).random((1, 64, 64, 3))
    rgb = torch.from_numpy(dst[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    for morph in (0.0, 0.25, 0.5):
        with torch.no_grad():
            face = net.swap(rgb, morph).src_dst.permute(0, 2, 3, 1).numpy()
        wanted, _ = reference.swap(dst, morph)
        np.testing.assert_allclose(face[..., ::-1], wanted, atol=TOLERANCE)


def df_model(folder: Path, **options) -> Reference:
    reference = Reference("df-ud", 64, 32, 16, 16, 16)
    write_model(folder, "new_SAEHD", reference.files, {**SAEHD_OPTIONS, **options})
    return reference


def test_half_precision_files_read(tmp_path: Path) -> None:
    reference = Reference("df-ud", 64, 32, 16, 16, 16)
    for arrays in reference.files.values():
        for key in arrays:
            arrays[key] = arrays[key].astype(np.float16)
    write_model(tmp_path, "h_SAEHD", reference.files, {**SAEHD_OPTIONS, "use_fp16": True})
    notes = notes_of(tmp_path, "h", tmp_path / "run")
    assert any("use_fp16" in note for note in notes)
    assert saved(tmp_path / "run").groups["net"]["inter.squeeze.weight"].dtype == torch.float32
    assert_computes_alike(network_of(tmp_path / "run"), reference)


@pytest.mark.parametrize("adabelief", [True, False])
def test_the_optimizers_memory_stands_at_its_weights(tmp_path: Path, adabelief: bool) -> None:
    """A step of the imported optimizer equals DeepFaceLab's formula on its own arrays."""
    reference = df_model(tmp_path, adabelief=adabelief)
    states = ("ms", "vs") if adabelief else ("acc",)
    memory = optimizer_file(reference.files, states)
    path = tmp_path / "new_SAEHD_src_dst_opt.npy"
    path.write_bytes(pickle.dumps(memory, 4))
    imported = import_model(tmp_path, "new", tmp_path / "run", print)
    assert "optimizer" in imported.groups and not any("memory" in n for n in imported.notes)

    checkpoint, net = saved(tmp_path / "run"), network_of(tmp_path / "run")
    optimizer = (AdaBelief if adabelief else RMSprop)(net.parameters(), 5e-5)
    restore_optimizer(checkpoint, "optimizer", optimizer, net)
    assert optimizer.param_groups[0]["step"] == 1000
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    optimizer.step()

    for key, name in (
        ("encoder/down1/downs_0/conv1/weight", "encoder.layers.0.conv.weight"),  # BGR in
        ("inter/dense1/weight", "inter.squeeze.weight"),
        ("inter/dense2/bias", "inter.spread.bias"),
        ("decoder_dst/res1/conv2/weight", "decoder_dst.face_layers.3.conv2.weight"),
        ("decoder_src/out_conv2/weight", "decoder_src.face_heads.2.weight"),  # BGR out
        ("decoder_src/out_conv2/bias", "decoder_src.face_heads.2.bias"),
    ):
        network, _, inner = key.partition("/")
        w = reference.files[network][f"{inner}:0"].astype(np.float64)
        if adabelief:
            m = 0.9 * memory[f"ms_{key}_0:0"] + 0.1 * 0.25
            v = 0.999 * memory[f"vs_{key}_0:0"] + 0.001 * (0.25 - m) ** 2
            w = w - 5e-5 * m / (np.sqrt(v) + 1e-6)
        else:
            a = 0.9 * memory[f"acc_{key}_0:0"] + 0.1 * 0.25**2
            w = w - 5e-5 * 0.25 / (np.sqrt(a) + 1e-6)
        ours = dict(net.named_parameters())[name].detach().numpy()
        if ours.ndim == 4:
            ours = ours.transpose(2, 3, 1, 0)
        elif ours.ndim == 2:
            ours = ours.T
        if "downs_0" in key:
            ours = ours[:, :, ::-1]
        elif "out_conv2" in key:
            ours = ours[..., ::-1]
        np.testing.assert_allclose(ours, w, atol=2e-7)


def test_another_optimizers_memory_is_left_out_with_a_note(tmp_path: Path) -> None:
    reference = df_model(tmp_path, adabelief=True)
    path = tmp_path / "new_SAEHD_src_dst_opt.npy"
    path.write_bytes(pickle.dumps(optimizer_file(reference.files, ("acc",)), 4))
    imported = import_model(tmp_path, "new", tmp_path / "run", print)
    assert set(saved(tmp_path / "run").groups["optimizer"]) == {"step"}
    assert any("src_dst_opt" in n and "without memory" in n for n in imported.notes)


def test_the_patch_discriminator_computes_the_same(tmp_path: Path) -> None:
    """In TF's own rules: SAME padding of transposed convolutions, features before what rises."""
    dims, widths = 16, [16, 32, 64]  # patch 8: two layers, strides 2 and 2
    maker = Maker(11)
    maker.layer("in_conv", 1, 1, 3, dims)
    maker.layer("convs_0", 3, 3, 16, 32)
    maker.layer("convs_1", 3, 3, 32, 64)
    maker.layer("upconvs_0", 3, 3, 32, 64)  # kh kw out in
    maker.layer("upconvs_1", 3, 3, 16, 64)
    maker.layer("center_out", 1, 1, 64, 1)
    maker.layer("center_conv", 1, 1, 64, 64)
    maker.layer("out_conv", 1, 1, 32, 1)
    gan = maker.arrays
    reference = df_model(tmp_path, gan_power=0.1, gan_patch_size=7, gan_dims=dims)
    files = {"GAN": gan, "GAN_opt": optimizer_file({"GAN": gan}, ("ms", "vs"), "D_src")}
    options = {**SAEHD_OPTIONS, "gan_power": 0.1, "gan_patch_size": 7, "gan_dims": dims}
    write_model(tmp_path, "new_SAEHD", {**reference.files, **files}, options)
    imported = import_model(tmp_path, "new", tmp_path / "run", print)
    assert {"gan", "gan_optimizer"} <= set(imported.groups)
    critic = PatchDiscriminator(7, dims)
    restore_group(saved(tmp_path / "run"), "gan", critic)
    optimizer = AdaBelief(critic.parameters(), 5e-5)
    restore_optimizer(saved(tmp_path / "run"), "gan_optimizer", optimizer, critic)
    np.testing.assert_array_equal(
        optimizer.state[dict(critic.named_parameters())["upconvs.0.weight"]]["mean"]
        .numpy()
        .transpose(2, 3, 1, 0),
        files["GAN_opt"]["ms_D_src/upconvs_0/weight_0:0"],
    )

    def layer(path: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
        return (
            convolve(x, gan[f"{path}/weight:0"].astype(np.float64), stride) + gan[f"{path}/bias:0"]
        )

    def leaky(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.2 * x)

    def rise(path: str, x: np.ndarray) -> np.ndarray:
        weight = gan[f"{path}/weight:0"].astype(np.float64)
        return leaky(convolve_transposed(x, weight, 2) + gan[f"{path}/bias:0"])

    image = np.random.default_rng(1).random((1, 64, 64, 3))
    first = leaky(layer("in_conv", image))
    second = leaky(layer("convs_0", first, 2))
    deepest = leaky(layer("convs_1", second, 2))
    assert deepest.shape[-1] == widths[-1]
    x = rise("upconvs_0", leaky(layer("center_conv", deepest)))
    x = rise("upconvs_1", np.concatenate([second, x], axis=-1))
    full = layer("out_conv", np.concatenate([first, x], axis=-1))
    with torch.no_grad():
        rgb = torch.from_numpy(image[..., ::-1].copy()).permute(0, 3, 1, 2).float()
        center, whole = critic(rgb)
    wanted = layer("center_out", deepest)
    np.testing.assert_allclose(center.permute(0, 2, 3, 1), wanted, atol=2e-5)
    np.testing.assert_allclose(whole.permute(0, 2, 3, 1), full, atol=2e-5)


def test_the_code_discriminator_comes_along_and_computes_the_same(tmp_path: Path) -> None:
    maker = Maker(12)
    maker.layer("convs_0", 4, 4, 32, 256)
    maker.layer("out_conv", 1, 1, 256, 1)
    reference = df_model(tmp_path)
    options = {**SAEHD_OPTIONS, "true_face_power": 0.01}
    write_model(
        tmp_path, "new_SAEHD", {**reference.files, "code_discriminator": maker.arrays}, options
    )
    imported = import_model(tmp_path, "new", tmp_path / "run", print)
    assert "code" in imported.groups and any("D_code_opt" in n for n in imported.notes)
    critic = CodeDiscriminator(32, 4)  # 64 px with d: codes of 4x4
    restore_group(saved(tmp_path / "run"), "code", critic)
    code = np.random.default_rng(1).normal(size=(2, 4, 4, 32))
    x = convolve(code, maker.arrays["convs_0/weight:0"].astype(np.float64), 2)
    x = x + maker.arrays["convs_0/bias:0"]
    x = np.where(x > 0, x, 0.1 * x)
    wanted = convolve(x, maker.arrays["out_conv/weight:0"].astype(np.float64), 1)
    wanted = wanted + maker.arrays["out_conv/bias:0"]
    with torch.no_grad():
        logits = critic(torch.from_numpy(code).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(logits.permute(0, 2, 3, 1), wanted, atol=2e-5)


def test_a_discriminator_of_other_dims_begins_anew(tmp_path: Path) -> None:
    maker = Maker(11)
    maker.layer("in_conv", 1, 1, 3, 8)
    reference = df_model(tmp_path)
    options = {**SAEHD_OPTIONS, "gan_power": 0.1}
    write_model(tmp_path, "new_SAEHD", {**reference.files, "GAN": maker.arrays}, options)
    imported = import_model(tmp_path, "new", tmp_path / "run", print)
    assert "gan" not in imported.groups
    (note,) = [n for n in imported.notes if "GAN begins anew" in n]
    assert "(1, 1, 3, 8)" in note and "(1, 1, 3, 16)" in note


def test_options_become_ours_and_the_rest_is_named(tmp_path: Path) -> None:
    df_model(
        tmp_path, face_type="head", lr_dropout="cpu", random_hsv_power=np.float32(0.25),
        clipgrad=True, models_opt_on_gpu=False, ct_mode="sot", eyes_mouth_prio=True,
        autobackup_hour=np.int64(3), target_iter=5000, bg_style_power=2.0, gan_dims=1000,
        eyes_prio=True, mystery=[1, 2],
    )  # fmt: skip
    imported = import_model(tmp_path, "new_SAEHD", tmp_path / "run", print)
    params = imported.params
    assert (params.face_type, params.lr_dropout, params.lr_cycle) == ("head", True, 500)
    assert (params.hsv_power, params.clip_gradient, params.optimizer_on_cpu) == (0.25, 1.0, True)
    assert (params.color_transfer, params.eyes_mouth_priority) == ("sot", True)
    assert (params.backup_hours, params.target_iterations) == (3.0, 5000)
    assert (params.background_style_power, params.gan_dims) == (2.0, 512)
    assert any("gan_dims was 1000 and is now 512" in n for n in imported.notes)
    assert any("eyes_prio, mystery" in n for n in imported.notes)
    assert read_params(tmp_path / "run") == params


def test_old_names_of_architectures_and_options(tmp_path: Path) -> None:
    options = {**SAEHD_OPTIONS, "archi": "dfuhd", "lr_dropout": True}
    del options["adabelief"]  # its models were trained with RMSprop
    write_model(tmp_path, "old_SAEHD", Reference("df-u", 64, 32, 16, 16, 16).files, options)
    params = import_model(tmp_path, "old", tmp_path / "run", print).params
    assert (params.architecture, params.optimizer, params.lr_dropout) == ("df-u", "rmsprop", True)
    write_model(tmp_path, "gone_SAEHD", {}, {**options, "archi": "liaehd"})
    with pytest.raises(DflFormatError, match="liaehd.*gave up in 2020"):
        import_model(tmp_path, "gone", tmp_path / "run2", print)


def test_losses_and_preview_faces_come_along(tmp_path: Path) -> None:
    reference = Reference("df-ud", 64, 32, 16, 16, 16)
    rng = np.random.default_rng(5)
    batches = [[rng.random((6, 3, 64, 64), np.float32) for _ in range(3)] for _ in range(2)]
    write_model(
        tmp_path, "new_SAEHD", reference.files, SAEHD_OPTIONS, 40,
        loss_history=[[0.5, 0.25]] * 45, sample_for_preview=batches,
    )  # fmt: skip
    assert not any("preview" in n for n in notes_of(tmp_path, "new", tmp_path / "run"))
    lines = (tmp_path / "run" / "loss.csv").read_text().splitlines()
    assert (lines[1], lines[-1], len(lines)) == ("1,0.5,0.25", "40,0.5,0.25", 41)
    checkpoint = saved(tmp_path / "run")
    assert (checkpoint.iteration, checkpoint.last_loss) == (40, (0.5, 0.25))
    wanted = batches[1][1][:4].transpose(0, 2, 3, 1)[..., ::-1] * 255
    assert np.abs(checkpoint.crops.numpy() - wanted).max() <= 0.5 + 1e-4


def test_an_imported_model_is_exported(tmp_path: Path) -> None:
    df_model(tmp_path)
    assert any("drawn pictures" in n for n in notes_of(tmp_path, "new", tmp_path / "run"))
    exported = export_run(tmp_path / "run", tmp_path / "new.dfm", ModelRecord(), print)
    assert exported.iterations == 1000 and (tmp_path / "new.dfm").exists()


def test_missing_and_wrong_files_are_named(tmp_path: Path) -> None:
    reference = df_model(tmp_path)
    (tmp_path / "new_SAEHD_inter.npy").unlink()
    (tmp_path / "new_SAEHD_decoder_dst.npy").unlink()
    with pytest.raises(DflFormatError, match=r"new_SAEHD_inter\.npy.*SAEHD_decoder_dst\.npy"):
        import_model(tmp_path, "new", tmp_path / "run", print)

    write_model(tmp_path, "new_SAEHD", reference.files, {**SAEHD_OPTIONS, "d_dims": 24})
    with pytest.raises(
        DflFormatError,
        match=r"decoder_src\.npy: upscale0/conv1/weight has the shape \(3, 3, 32, 512\), this "
        r"architecture needs \(3, 3, 32, 768\)",
    ):
        import_model(tmp_path, "new", tmp_path / "run", print)

    del reference.files["inter"]["dense2/bias:0"]
    write_model(tmp_path, "new_SAEHD", reference.files, SAEHD_OPTIONS)
    with pytest.raises(DflFormatError, match=r"inter\.npy has no dense2/bias"):
        import_model(tmp_path, "new", tmp_path / "run", print)
    assert not (tmp_path / "run").exists()


class Touch:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["data.dat", "encoder.npy", "src_dst_opt.npy"])
def test_a_malicious_model_file_runs_nothing(tmp_path: Path, name: str) -> None:
    df_model(tmp_path)
    path = tmp_path / f"new_SAEHD_{name}"
    path.write_bytes(pickle.dumps({"iter": 1, "options": Touch(tmp_path / "touched")}, 4))
    with pytest.raises(DflFormatError, match=rf"{name} asks for \w+\.system"):
        import_model(tmp_path, "new", tmp_path / "run", print)
    assert not (tmp_path / "touched").exists() and not (tmp_path / "run").exists()


def test_names_are_found_or_the_models_there_are_listed(tmp_path: Path) -> None:
    reference = df_model(tmp_path)
    with pytest.raises(SourceNotFound, match=r"no model 'other'.*new_SAEHD"):
        import_model(tmp_path, "other", tmp_path / "run", print)
    with pytest.raises(SourceNotFound, match="no model"):
        import_model(tmp_path / "nowhere", "new", tmp_path / "run", print)
    write_model(tmp_path, "new_Quick96", reference.files, {})
    with pytest.raises(DflFormatError, match="new_Quick96 and new_SAEHD"):
        import_model(tmp_path, "new", tmp_path / "run", print)
    write_model(tmp_path, "XSeg", {}, {"face_type": "wf"})
    with pytest.raises(DflFormatError, match="XSeg model.*mask import-dfl"):
        import_model(tmp_path, "XSeg", tmp_path / "run", print)


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    df_model(tmp_path)
    import_model(tmp_path, "new", tmp_path / "run", print)
    with pytest.raises(ParameterError, match="holds a run already"):
        import_model(tmp_path, "new", tmp_path / "run", print)
