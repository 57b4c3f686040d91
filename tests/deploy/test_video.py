"""Videos frame by frame: size, times, colours and sound stay what they are."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gancomp.data.images import encode_png
from gancomp.deploy import video as module
from gancomp.deploy.runtimes import Model
from gancomp.deploy.video import apply_video
from gancomp.errors import GancompError
from gancomp.spec import GeneratorSpec, ValueRange

av = pytest.importorskip("av")
RATE = Fraction(30000, 1001)
FRAMES = 11
BT709 = 1


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every model gives back what it reads; how much that is at once."""
    seen: list[int] = []

    def same(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return x[:, :3]

    def opened(path: Path, threads: int) -> Model:
        channels = {"gray": 1, "alpha": 4}.get(path.stem, 3)
        ranges: Any = {"input": ValueRange(low=0, high=1, type="uint8")} if path.stem == "numbers" else {}
        spec = GeneratorSpec(widths=2, size=32, in_channels=channels, out_channels=min(channels, 3))
        return Model(spec, same, ranges=ranges)

    monkeypatch.setattr(module, "open_model", opened)
    return seen


def filmed(path: Path, size: tuple[int, int] = (32, 48), rotation: int = 0, sound: str | None = "aac") -> Path:
    """Red above, green and blue below, and a bar that moves; unevenly long frames at the end."""
    height, width = size
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=RATE, options={"crf": "5"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv444p"
        context = stream.codec_context
        context.time_base, context.colorspace, context.color_range = Fraction(1, 30000), BT709, BT709
        context.sample_aspect_ratio = Fraction(4, 3)
        if rotation:
            stream.set_display_rotation(rotation)
        audio = sink.add_stream(sound, rate=16000) if sound else None
        for at in range(FRAMES):
            picture = np.full((height, width, 3), (200, 30, 40), np.uint8)
            picture[height // 2 :, : width // 2] = 20, 180, 60
            picture[height // 2 :, width // 2 :] = 30, 40, 220
            picture[:, 2 * at : 2 * at + 2] = 240
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=BT709, dst_color_range=BT709)
            frame.pts, frame.time_base = at * 1001 + (at == FRAMES - 1) * 500, Fraction(1, 30000)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
        for at in range(6 if audio else 0):
            tone = np.sin(np.arange(1024, dtype=np.float32) / 9)[None]
            heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 16000, at * 1024
            sink.mux(audio.encode(heard))
        if audio:
            sink.mux(audio.encode(None))
    return path


def shown(path: Path) -> tuple[np.ndarray, list[float], Any]:
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        frames = list(source.decode(stream))
        about = (stream.average_rate, stream.sample_aspect_ratio, stream.codec_context.colorspace)
        return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [f.time for f in frames], about


def heard(path: Path) -> bytes:
    with av.open(str(path)) as source:
        return b"".join(bytes(packet) for packet in source.demux(audio=0)) if source.streams.audio else b""


def test_a_video_stays_what_it_is(tmp_path: Path, batches: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    video = filmed(tmp_path / "film.mp4")
    out = apply_video(Path("net.onnx"), video, batch=4)
    assert out == tmp_path / "film-net.mp4"
    assert batches == [4, 4, 3]
    (before, times, about), (after, again, kept) = shown(video), shown(out)
    assert after.shape == before.shape == (FRAMES, 32, 48, 3)
    assert again == pytest.approx(times)
    assert kept == about
    assert heard(out) == heard(video) != b""
    # Where colours are even, what 4:2:0 blurs is not looked at.
    assert np.abs(after[:, 4:12, 30:44].astype(int) - before[:, 4:12, 30:44]).max() <= 6
    assert np.abs(after.astype(int) - before).mean() < 8
    assert f"{FRAMES} / {FRAMES} frames (100%)" in capsys.readouterr().err
    with pytest.raises(GancompError, match="is there already"):
        apply_video(Path("net.onnx"), video)


@pytest.mark.parametrize("name", ["film.avi", "film.h264"])
def test_a_container_without_times_of_showing(tmp_path: Path, batches: list[int], name: str) -> None:
    """Frames in the order that they are decoded in, at times that grow; an .avi's as far apart as they were."""
    video = filmed(tmp_path / name, sound=None)
    out = apply_video(Path("net.onnx"), video, tmp_path / "out.mkv")
    after, times, _ = shown(out)
    assert len(after) == FRAMES
    steps = np.diff(times[: FRAMES - 1])
    assert steps.min() > 0
    if name == "film.avi":
        assert np.ptp(times) == pytest.approx(np.ptp(shown(video)[1]), rel=0.05)
    bar = [int(picture[4].astype(int).sum(-1).argmax()) // 2 for picture in after]
    assert bar == sorted(bar)


def test_odd_sides_other_channels_and_no_sound(tmp_path: Path, batches: list[int]) -> None:
    video = filmed(tmp_path / "film.mkv", (33, 45), sound=None)
    alpha = apply_video(Path("alpha.onnx"), video, training_size=False)
    assert shown(alpha)[0].shape == (FRAMES, 33, 45, 3)
    gray = shown(apply_video(Path("gray.onnx"), video))[0].astype(int)
    assert np.abs(gray[..., 0] - gray[..., 2]).max() <= 4
    small = apply_video(Path("net.onnx"), video, tmp_path / "small.mp4", training_size=True)
    assert shown(small)[0].shape == (FRAMES, 32, 32, 3)


def test_what_was_filmed_lying_stands(tmp_path: Path, batches: list[int]) -> None:
    video = filmed(tmp_path / "film.mp4", rotation=90)
    with av.open(str(video)) as source:
        assert next(source.decode(video=0)).rotation == 90
    after = shown(apply_video(Path("net.onnx"), video))[0][-1].astype(int)
    assert after.shape == (48, 32, 3)
    lying = shown(video)[0][-1]
    assert np.abs(after[4:16, 4:12] - np.rot90(lying)[4:16, 4:12]).max() <= 6


def test_sound_that_does_not_fit_is_told_of(
    tmp_path: Path, batches: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = apply_video(Path("net.onnx"), filmed(tmp_path / "film.mp4"), tmp_path / "out.webm")
    assert "out.webm: is without sound: 'webm' format does not support 'aac'" in capsys.readouterr().err
    assert len(shown(out)[0]) == FRAMES
    assert heard(out) == b""


def test_half_a_file_is_never_left(tmp_path: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    video = filmed(tmp_path / "film.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:900])
    with pytest.raises(GancompError, match=r"broken.mp4: FFmpeg cannot translate it \(Invalid data"):
        apply_video(Path("net.onnx"), broken)

    def stops(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "translated", stops)
    with pytest.raises(KeyboardInterrupt):
        apply_video(Path("net.onnx"), video)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "film.mp4"]


def test_what_is_no_video_is_refused(tmp_path: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    video = filmed(tmp_path / "film.mp4")
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    for model, source, out, match in (
        ("numbers.onnx", video, None, "numbers.onnx: reads maps of classes, or numbers"),
        ("net.onnx", tmp_path / "none.mp4", None, "no such file"),
        ("net.onnx", tmp_path / "a.png", None, "is a picture; name the folder"),
        ("net.onnx", video, tmp_path / "o.gif", r"o.gif: is none of .mp4"),
    ):
        with pytest.raises(GancompError, match=match):
            apply_video(Path(model), source, out)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(GancompError, match=r"pip install 'gancomp\[video\]'"):
        apply_video(Path("net.onnx"), video)
