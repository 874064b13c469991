"""The report of a set: what it finds in sets where that was put in by hand, and how it says it."""

import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import BadAlignedImage
from facegraft.faces.faceset import Faceset
from facegraft.sets.advice import advise
from facegraft.sets.coverage import NEAR, cover, pose_map
from facegraft.sets.report import find_outliers, make_report, report_values
from facegraft.sets.sheet_report import WIDTH, report_sheet
from tests.engine.sorting_faces import SIDE, blurred, texture, turned, write_face
from tests.engine.test_embedding import write_embedder


def test_poses_are_counted_where_they_look():
    counts = pose_map(np.array([(-90.0, -60.0), (0.0, 0.0), (4.9, 4.9), (200.0, 0.0)]))
    assert counts.shape == (24, 36) and counts.sum() == 4
    assert counts[0, 0] == 1  # top left: looks up and left
    assert counts[12, 18] == 2
    assert counts[12, 35] == 1  # beyond the end counts at the end


def test_poses_of_dst_without_src_nearby_are_grouped_and_measured():
    src = np.array([(0.0, 0.0), (10.0, 0.0)])
    dst = np.array([(5.0, 0.0), (40.0, 0.0), (43.0, 2.0), (0.0, -30.0)])
    coverage = cover(src, dst)
    np.testing.assert_allclose(coverage.distances, [5, 30, np.hypot(33, 2), 30])
    assert coverage.covered == 0.25
    far, up = coverage.gaps
    assert (far.count, far.yaw, far.pitch) == (2, (40, 43), (0, 2))
    assert far.farthest == pytest.approx(np.hypot(33, 2))
    assert (up.count, up.yaw, up.pitch) == (1, (0, 0), (-30, -30))


def test_a_set_covers_itself():
    poses = np.random.default_rng(0).uniform(-40, 40, (50, 2))
    coverage = cover(poses, poses)
    assert coverage.covered == 1.0 and coverage.gaps == ()


def test_outliers_are_far_below_the_others_and_a_uniform_set_has_none():
    likeness = np.concatenate([np.linspace(0.9, 1.0, 50), [0.2, 0.4]])
    assert find_outliers(likeness).tolist() == [50, 51]
    assert not find_outliers(np.linspace(0.9, 1.0, 50)).size
    assert not find_outliers(np.ones(5)).size


def write_turning(folder: Path, yaws, first: int = 0, gray: int = 0) -> None:
    for n, yaw in enumerate(yaws):
        picture = np.clip(texture(first + n, 2).astype(int) + gray, 0, 255).astype(np.uint8)
        write_face(folder, f"{n:03d}.png", picture, turned(yaw), 200.0, frame=n)


def test_the_advice_names_the_poses_that_src_lacks(tmp_path):
    write_turning(tmp_path / "src", np.linspace(-20, 40, 13))
    write_turning(tmp_path / "dst", np.linspace(-50, 30, 9), 100)
    report = make_report(Faceset.open(tmp_path / "src"), Faceset.open(tmp_path / "dst"))
    assert report.dst is not None
    end = -report.src.poses[:, 0].min()
    count = int((-report.dst.poses[:, 0] > end + NEAR).sum())
    assert count >= 2
    lines = advise(report)
    sentence = (
        f"No src face looks further left than {end:.0f} degrees; dst has {count} such frames."
    )
    assert lines[0].startswith(sentence)
    assert not any("further right" in line or "further up" in line for line in lines)


def test_a_src_that_only_looks_right_is_told_so_in_its_own_direction(tmp_path):
    write_turning(tmp_path / "src", np.linspace(15, 40, 6))
    write_turning(tmp_path / "dst", np.linspace(-10, 0, 4), 100)
    report = make_report(Faceset.open(tmp_path / "src"), Faceset.open(tmp_path / "dst"))
    start = report.src.poses[:, 0].min()
    assert f"further left than {start:.0f} degrees right; dst has 4" in advise(report)[0]


def test_what_was_put_into_a_set_is_found(tmp_path):
    write_turning(tmp_path, np.linspace(-20, 20, 20))
    for n in range(3):
        write_face(tmp_path, f"copy{n}.png", texture(n, 2), turned(-20 + n), 200.0, frame=n)
    write_face(tmp_path, "soft.png", blurred(texture(50, 2), 8), turned(3), 40.0)
    write_face(tmp_path, "stranger.png", np.full((SIDE, SIDE, 3), (20, 230, 30), np.uint8))
    report = make_report(Faceset.open(tmp_path))
    assert [face.path.name for face in report.src.outliers][0] == "stranger.png"
    assert {(a.path.name, b.path.name) for a, b in report.src.duplicates} == {
        (f"copy{n}.png", f"00{n}.png") for n in range(3)
    }
    text = "\n".join(advise(report))
    assert "2 faces of src are soft" in text  # the even green has no detail either
    assert "1 face of src is smaller than 100 px" in text
    assert "3 faces of src's 25 repeat another one" in text
    assert "stranger.png" in text
    assert "src has 25 faces; below 400" in text


def test_strangers_are_found_by_a_network_where_one_is_given(tmp_path):
    network = write_embedder(tmp_path / "who.onnx")  # sees the mean colour
    for n in range(8):
        write_face(tmp_path / "set", f"{n}.png", (200, 120 + n, 90))
    write_face(tmp_path / "set", "other.png", (40, 60, 220))
    report = make_report(Faceset.open(tmp_path / "set"), network=network)
    assert report.src.by_network
    assert [face.path.name for face in report.src.outliers] == ["other.png"]
    assert any("1 face of src is not like the same person" in line for line in advise(report))


def test_light_and_sharpness_of_both_sets_are_compared(tmp_path):
    for n in range(6):
        write_face(tmp_path / "src", f"{n}.png", blurred(texture(n, 2), 3), turned(n))
        dark = (texture(n + 20, 2) * 0.5).astype(np.uint8)
        write_face(tmp_path / "dst", f"{n}.png", dark, turned(n))
    report = make_report(Faceset.open(tmp_path / "src"), Faceset.open(tmp_path / "dst"))
    text = "\n".join(advise(report))
    assert "dst is much darker than src" in text
    assert "src is softer than dst" in text
    assert "src covers the poses of dst: 100 %" in text


def test_the_page_and_the_json_hold_the_whole_report(tmp_path):
    write_turning(tmp_path / "src", np.linspace(-20, 20, 9))
    write_turning(tmp_path / "dst", np.linspace(-60, 20, 9), 100)
    report = make_report(Faceset.open(tmp_path / "src"), Faceset.open(tmp_path / "dst"))
    assert report.coverage is not None
    advice = advise(report)
    page = report_sheet(report, advice)
    assert page.dtype == np.uint8 and page.shape[1:] == (WIDTH, 3)
    assert 800 < page.shape[0] < 3000
    values = json.loads(json.dumps(report_values(report, advice)))
    assert values["src"]["faces"] == values["dst"]["faces"] == 9
    assert np.sum(values["src"]["pose_map"]["counts"]) == 9
    assert sum(values["src"]["sharpness_histogram"]["counts"]) == 9
    assert sum(values["dst"]["size_histogram"]["counts"]) == 9
    assert values["coverage"]["covered"] == round(report.coverage.covered, 4) < 1
    assert values["coverage"]["gaps"][0]["count"] == report.coverage.gaps[0].count
    assert values["coverage"]["farthest_faces"][0] == "000.png"
    assert values["advice"] == list(advice)


def test_one_face_has_a_report_and_no_picture_that_reads_has_none(tmp_path):
    face = write_face(tmp_path, "a.png", texture())
    report = make_report(Faceset.open(tmp_path))
    assert report_sheet(report, advise(report)).shape[1] == WIDTH
    faceset = Faceset.open(tmp_path)
    face.path.write_bytes(face.path.read_bytes()[:300])
    write_face(tmp_path, "b.png", texture(1))
    for stored in (tmp_path / "_facegraft" / "measures").iterdir():
        stored.unlink()
    with pytest.raises(BadAlignedImage, match="a.png"):
        make_report(faceset)
