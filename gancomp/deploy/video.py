"""Videos through a generator: frame by frame, in constant memory, with their sound."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gancomp.data.images import SUFFIXES, as_input, as_rgb
from gancomp.data.plan import Picture
from gancomp.deploy.apply import advice, refuse_both, translated
from gancomp.deploy.runtimes import open_model
from gancomp.deploy.tiles import in_tiles
from gancomp.errors import GancompError
from gancomp.extras import extra
from gancomp.pipeline.files import atomic
from gancomp.pipeline.progress import Progress

#: What the frames of each kind of file are encoded by, and how: so well that the eye sees no loss.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "18"}),
    ".m4v": ("libx264", {"crf": "18"}),
    ".mov": ("libx264", {"crf": "18"}),
    ".mkv": ("libx264", {"crf": "18"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0"}),
}
#: FFmpeg's word for colours of standard definition, which its scaler knows by another number.
SMPTE170M, ITU601 = 6, 5
UNSPECIFIED = 2


def apply_video(
    model: Path,
    video: Path,
    out: Path | None = None,
    *,
    training_size: bool = False,
    tile: int | None = None,
    batch: int = 8,
    threads: int = 0,
) -> Path:
    """Translate every frame of *video* into *out* (one of ENCODERS; else beside it, VIDEO-MODEL), and return that.

    Size (but with *training_size*), time of each frame, shape of pixels and colour space are the video's, a rotation is
    carried out, and its sound is copied as it is where *out* can hold it, which is printed where not. *batch* frames
    are in memory at once. *tile* is as in `translate`. The file has its name once it is whole. GancompError if *out*
    is there already, if PyAV is missing, if *video* cannot be decoded, or if the model reads or makes no pictures.
    """
    av = extra("av")
    opened = open_model(model, threads)
    if opened.spec.reads_labels or opened.ranges:
        raise GancompError(f"{model}: reads maps of classes, or numbers: a video has pictures; apply it to a folder")
    refuse_both(training_size, tile)
    if not video.is_file():
        raise GancompError(f"{video}: no such file")
    if video.suffix.lower() in SUFFIXES:
        raise GancompError(f"{video}: is a picture; name the folder that holds it")
    if out is None:
        suffix = video.suffix.lower() if video.suffix.lower() in ENCODERS else ".mkv"
        out = video.with_name(f"{video.stem}-{model.stem}{suffix}")
    if out.suffix.lower() not in ENCODERS:
        raise GancompError(f"{out}: is none of {', '.join(ENCODERS)}")
    if out.exists():
        raise GancompError(f"{out}: is there already; delete it, or name another file")
    if tile:
        opened, how = in_tiles(opened, tile)
        print(f"{video}: {how}", file=sys.stderr)

    with atomic(out) as temporary, _refusing(video), av.open(str(video)) as source:
        frames, rotation = _looked_through(video)
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        size = (stream.width, stream.height) if rotation % 180 else (stream.height, stream.width)
        if not training_size and (told := advice(opened, [size])):
            print(f"{video}: {told}", file=sys.stderr)
        with av.open(str(temporary), "w") as sink, Progress("apply", frames, "frames") as progress:
            encoder = _encoder(sink, out, stream, (opened.size or opened.spec.size) if training_size else size, size)
            sounds = _sounds(source, sink, out)
            last: int | None = None
            for some in _batches(source, stream, sink, sounds, batch):
                read = np.stack([_read(frame, stream, rotation, opened.spec.in_channels) for frame in some])
                made = translated(opened, read, training_size=training_size)
                # Frames come in order, but not always their times: an .avi has those of storing.
                times = sorted(frame.pts for frame in some if frame.pts is not None)
                for frame, picture, time in zip_longest(some, made, times):
                    last = frame.pts = _later(last, time, frame, stream)
                    sink.mux(encoder.encode(_frame(as_rgb(picture), frame, encoder)))
                progress.advance(len(some))
            sink.mux(encoder.encode(None))
    return out


@contextmanager
def _refusing(video: Path) -> Iterator[None]:
    """What FFmpeg says of a video becomes a GancompError that names it."""
    try:
        yield
    except extra("av").FFmpegError as error:
        raise GancompError(f"{video}: FFmpeg cannot translate it ({error.strerror})") from error


def _looked_through(video: Path) -> tuple[int, int]:
    """How many frames *video* has, by its header or else by its packets, and by how many degrees they are turned."""
    with extra("av").open(str(video)) as source:
        if not source.streams.video:
            raise GancompError(f"{video}: has no pictures that move in it")
        stream = source.streams.video[0]
        first = next(source.decode(stream), None)
        if first is None:
            raise GancompError(f"{video}: has no frame that can be decoded")
        if stream.frames:
            return stream.frames, first.rotation
    with extra("av").open(str(video)) as source:  # again, because not every container can go back
        return sum(packet.size > 0 for packet in source.demux(video=0)), first.rotation


def _sounds(source: Any, sink: Any, out: Path) -> dict[int, Any]:
    """The streams in *sink* that take the packets of each sound of *source*, by its index there."""
    found = {}
    for sound in source.streams.audio:
        try:
            found[sound.index] = sink.add_stream_from_template(sound)
        except ValueError as error:
            print(f"{out}: is without sound: {error}; a .mkv holds any", file=sys.stderr)
    return found


def _batches(source: Any, stream: Any, sink: Any, sounds: dict[int, Any], batch: int) -> Iterator[list[Any]]:
    """The frames of *stream*, *batch* at a time; packets of sound go to *sink* as they come."""
    waiting: list[Any] = []
    for packet in source.demux(stream, *source.streams.audio):
        if packet.stream.index != stream.index:
            if packet.dts is not None and packet.stream.index in sounds:
                packet.stream = sounds[packet.stream.index]
                sink.mux(packet)
            continue
        for frame in packet.decode():
            waiting.append(frame)
            if len(waiting) == batch:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


def _later(last: int | None, time: int | None, frame: Any, stream: Any) -> int:
    """*time*, in the time base of *frame*, if it is after the *last*; else, or without one, a frame's length later."""
    if last is None:
        return time or 0
    if time is not None and time > last:
        return time
    return last + int(frame.duration or 1 / (frame.time_base * (stream.average_rate or Fraction(25))))


def _read(frame: Any, stream: Any, rotation: int, channels: int) -> Picture:
    """A frame as a generator of so many *channels* reads it, upright, at the size of its stream."""
    pixels = frame.to_ndarray(format="rgb24", width=stream.width, height=stream.height)
    return as_input(Image.fromarray(np.rot90(pixels, rotation // 90)), channels)


def _encoder(sink: Any, out: Path, stream: Any, size: tuple[int, int], upright: tuple[int, int]) -> Any:
    """A stream in *sink* for frames of *size* (height, width), in all else as *stream*, which is so large *upright*."""
    codec, options = ENCODERS[out.suffix.lower()]
    encoder = sink.add_stream(codec, rate=stream.average_rate or Fraction(25), options=options)
    encoder.height, encoder.width = size
    # Colours at half the resolution, as everything plays them, need even sides.
    encoder.pix_fmt = "yuv420p" if not any(side % 2 for side in size) else "yuv444p"
    read, written = stream.codec_context, encoder.codec_context
    written.time_base = stream.time_base
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(written, name, getattr(read, name))
    shape = stream.sample_aspect_ratio
    if shape and size == upright:
        written.sample_aspect_ratio = shape if upright == (stream.height, stream.width) else 1 / shape
    return encoder


def _frame(picture: Picture, like: Any, encoder: Any) -> Any:
    """*picture* (h, w, 3) as a frame for *encoder*, at the time and in the colour space of the frame *like*."""
    space = None if like.colorspace == UNSPECIFIED else ITU601 if like.colorspace == SMPTE170M else like.colorspace
    frame = extra("av").VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame = frame.reformat(format=encoder.pix_fmt, dst_colorspace=space, dst_color_range=like.color_range or None)
    frame.pts, frame.time_base = like.pts, like.time_base
    return frame
