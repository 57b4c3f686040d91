"""What a generator is: family, widths and shape, in plain Python (no torch)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from gancomp.config.strict import Strict
from gancomp.network import Network

#: `module` is a custom network, built by a function (`gancomp.network`).
Family = Literal["resnet", "unet", "spade", "module"]
#: Which convolutions are decomposed: none; the residual blocks'; or, to measure the effect (Table 4), only a resnet's
#: downsampling or upsampling ones. A resnet's blocks may also have six branches (`nets.inception`).
Block = Literal["dense", "separable", "inception", "separable-down", "separable-up"]
#: Instance norm has no parameters; `affine` is the one with scales and shifts.
Norm = Literal["instance", "affine", "batch", "none"]
#: BatchNorm's running statistics, or each picture's own, as in training mode at batch 1.
Statistics = Literal["running", "batch"]
Upsampling = Literal["more", "normal"]
Up = Literal["resize"]

#: The widths (c_1 … c_K in the paper, Section 3.2) of each family, named after their layers.
WIDTH_NAMES: dict[str, tuple[str, ...]] = {
    "resnet": ("stem", "down1", "trunk", "blocks1", "blocks2", "blocks3", "up1", "output"),
    "unet": ("down1", "down2", "down3", "down4", "up4", "up3", "up2", "up1"),
    "spade": ("fc", "head", "middle1", "middle2", "up1", "up2", "up3", "up4"),
}
#: The default normalisation of each family.
NORM_PER_FAMILY: dict[str, Norm] = {"resnet": "instance", "unet": "batch", "spade": "batch"}


#: In units of the layer's width.
WIDEST = 4096


def parse_widths(value: Any) -> Any:
    """`32`, `"32"`, `"32_24_16"` or a sequence of integers → a tuple of integers.

    Raises ValueError with the invalid text.
    """
    if isinstance(value, bool):
        raise ValueError(f"widths must be integers, not {value!r}")
    if isinstance(value, int):
        if value > WIDEST:
            raise ValueError(f"width {value}: at most {WIDEST}; YAML reads 8_3_3 as one number: quote it")
        return (value,)
    if isinstance(value, str):
        try:
            return tuple(int(part) for part in value.split("_"))
        except ValueError:
            raise ValueError(
                f"widths {value!r}: expected integers joined by '_', such as 32_32_48_32_48_48_16_16"
            ) from None
    return value


def format_widths(widths: tuple[int, ...]) -> str:
    """The configuration string of *widths*, such as `32_32_48_32_48_48_16_16`."""
    return "_".join(str(width) for width in widths)


def parse_size(value: Any) -> Any:
    """`256`, `"256"` or `"256x512"` (height x width) → (height, width)."""
    if isinstance(value, bool):
        raise ValueError(f"size must be an integer or 'HxW', not {value!r}")
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, str):
        try:
            parts = [int(part) for part in value.lower().split("x")]
        except ValueError:
            raise ValueError(f"size {value!r}: expected H or HxW, such as 256 or 256x512") from None
        return tuple(parts * 2 if len(parts) == 1 else parts)
    return value


PositiveInt = Annotated[int, Field(gt=0, le=65536)]
Widths = Annotated[
    tuple[Annotated[int, Field(gt=0, le=WIDEST)], ...],
    BeforeValidator(parse_widths),
    PlainSerializer(format_widths, when_used="json"),
    Field(min_length=1, json_schema_extra={"type": ["integer", "string", "array"]}),
]
#: Widths of which some may be 0: branches that pruning removed.
WidthsLeft = Annotated[
    tuple[Annotated[int, Field(ge=0, le=4096)], ...],
    BeforeValidator(parse_widths),
    PlainSerializer(format_widths, when_used="json"),
    Field(min_length=1),
]
#: Branches of an inception block, half of them dense and half depthwise; each has a sixth of the inner channels.
KERNELS = (1, 3, 5)
Hidden = Annotated[int, Field(gt=0, le=8192)]
Size = Annotated[
    tuple[PositiveInt, PositiveInt],
    BeforeValidator(parse_size),
    PlainSerializer(lambda size: f"{size[0]}x{size[1]}", when_used="json"),
    Field(json_schema_extra={"type": ["integer", "string", "array"]}),
]


NumberType = Literal["uint8", "uint16", "int16", "int32", "float32"]
Role = Literal["input", "target"]


class ValueRange(Strict):
    """The numbers that map to a picture's darkest and brightest, and the type of its files."""

    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    type: NumberType


class GeneratorSpec(Strict):
    """Everything needed to build a generator; the header of every checkpoint carries it.

    `widths` are the paper's c_1 … c_K (Section 3.2); a single number stands for all K. `blocks` counts the residual
    blocks of a resnet, `downs` the stride-2 convolutions of a unet; `upsampling` of a spade generator is `more` (six
    upsamplings by 2, for 256x512) or `normal` (five, for small pictures). A spade generator's input channels are its
    classes and the edge channel. `separable_norm` is the norm between depthwise and pointwise convolutions, if it is
    not the family's default (`between`); `hidden` is the number of channels from which a SPADE layer computes scale and
    shift, if it is not twice the block's width (`hidden_of`). With `up="resize"` transposed convolutions are trained to
    be resizing and a convolution (`nets.resize`). A generator of the family `module` is *network*, with its
    size, channels and norm; a separable block means that the network's decomposed convolutions are separable.
    """

    family: Family = "resnet"
    block: Block = "dense"
    widths: WidthsLeft
    size: Size = (256, 256)
    in_channels: Annotated[int, Field(ge=1, le=256)] = 3  # of a label map, one for each class
    out_channels: Annotated[int, Field(ge=1, le=64)] = 3
    blocks: Annotated[int, Field(ge=3, le=99)] = 9
    norm: Norm = "instance"
    downs: Annotated[int, Field(ge=3, le=12)] = 8
    upsampling: Upsampling = "more"
    separable_norm: Norm | None = None
    statistics: Statistics = "running"
    hidden: Hidden | None = None
    up: Up | None = None
    network: Network | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields that only some generators set: headers and signatures of others do not change.

        The same holds for a U-Net with equal widths, which is written as one number.
        """
        fields: dict[str, Any] = handler(self)
        if self.family == "unet" and isinstance(fields.get("widths"), str) and len(set(self.widths)) == 1:
            fields["widths"] = str(self.widths[0])
        rare = ("separable_norm", "statistics", "hidden", "up", "network")
        unset = [name for name in rare if fields[name] in (None, "running")]
        return {name: value for name, value in fields.items() if name not in unset}

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_family(cls, data: Any) -> Any:
        """Expand a single width to all, and fill in the family's or the network's default norm and sizes."""
        if not isinstance(data, dict):
            return data
        family = data.get("family", "resnet")
        if family == "module" and data.get("network") is not None:
            network = Network.model_validate(data["network"])
            known = {"network": network, "size": network.size, "norm": network.norm, "widths": network.full}
            known |= {"in_channels": network.in_channels, "out_channels": network.out_channels}
            return known | {name: value for name, value in data.items() if name != "network" and value is not None}
        if not isinstance(family, str) or family not in WIDTH_NAMES:
            return data
        if data.get("norm") is None:
            data = {**data, "norm": NORM_PER_FAMILY[family]}
        if "widths" in data:
            widths = parse_widths(data["widths"])
            if isinstance(widths, (tuple, list)) and len(widths) == 1:
                widths = tuple(widths) * len(WIDTH_NAMES[family])
            data = {**data, "widths": widths}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> GeneratorSpec:
        if (self.network is not None) != (self.family == "module"):
            raise ValueError("generator.network: is needed for the family module, and for no other")
        count = len(self.width_names)
        if len(self.widths) != count:
            raise ValueError(f"a {self.family} generator has {count} widths, not {len(self.widths)}")
        may_vanish = self.network.vanishing if self.network else ()
        for at, name in enumerate(self.width_names):
            if self.widths[at] == 0 and at not in may_vanish:
                raise ValueError(f"width {name} is 0: widths must be greater than 0")
        if self.network:
            self._as_the_network(self.network)
        if self.family == "spade" and self.norm not in ("batch", "instance"):
            raise ValueError("a spade generator normalises before it modulates: norm must be batch or instance")
        if self.statistics == "batch" and self.norm != "batch":
            raise ValueError(f"statistics: need batch norm, but the generator's norm is {self.norm}")
        if self.hidden and self.family != "spade":
            raise ValueError(f"hidden: applies to spade generators, but this is a {self.family}")
        if self.up and self.family == "spade":
            raise ValueError("up: a spade generator has no transposed convolutions; remove it (generator.up)")
        if self.family == "unet" and self.block != "dense":
            raise ValueError(
                "a unet generator has no residual blocks to decompose: block must be dense (generator.block)"
            )
        if self.family in ("unet", "spade") and self.block not in ("dense", "separable"):
            raise ValueError(f"a {self.family} generator has no block {self.block}: only a resnet has")
        if self.fitting(self.size) != self.size:
            raise ValueError(
                f"size {self.size[0]}x{self.size[1]}: both sides must be multiples of {self.stride}, and at least "
                f"{self.least}, for this {self.family} generator"
            )
        return self

    def _as_the_network(self, network: Network) -> None:
        """Raises ValueError if size, channels or norm differ from the network's description, or widths exceed it."""
        for name in ("size", "in_channels", "out_channels", "norm"):
            own, read = getattr(self, name), getattr(network, name)
            if own != read:
                shown = ["x".join(map(str, value)) if name == "size" else value for value in (own, read)]
                raise ValueError(
                    f"{name} is {shown[0]}, but the network was read with {shown[1]}; read it again "
                    f"(`gancomp groups {network.builder} --save FILE`), or declare its value"
                )
        for width, full, name in zip(self.widths, network.full, network.names, strict=True):
            if width > full:
                raise ValueError(f"width {name} is {width}, but the network has {full}: it can only be narrowed")
        if self.block not in ("dense", "separable"):
            raise ValueError(f"a custom network has no block {self.block}: dense or separable")

    @property
    def width_names(self) -> tuple[str, ...]:
        """The names of the widths (layers or groups), in order."""
        return self.network.names if self.network else WIDTH_NAMES.get(self.family, ())

    @property
    def reads_labels(self) -> bool:
        """Whether its inputs are label maps (n, classes + 1, h, w), as a spade generator's, and not pictures."""
        return self.family == "spade"

    @property
    def between(self) -> Norm:
        """The normalisation between depthwise and pointwise: the same as elsewhere, but instance norm in SPADE."""
        return self.separable_norm or ("instance" if self.family == "spade" else self.norm)

    def hidden_of(self, width: int) -> int:
        """Hidden channels of the SPADE layers of a block of *width*."""
        return self.hidden or 2 * width

    def branch_of(self, width: int) -> int:
        """Channels of each branch of the inception blocks of *width*: a sixth of the inner ones, at least one."""
        inner = 4 * width
        return inner // (2 * len(KERNELS)) + (inner < 2 * len(KERNELS))

    @property
    def levels(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Output channels of a unet's convolutions at each level, from the outside in: downwards, and upwards.

        The three outer levels have their own widths (c_1, 2 c_2, 4 c_3 down; 4 c_6, 2 c_7, c_8 up), the inner ones
        share one (8 c_4 down, 8 c_5 up). The innermost level has no upward convolution.
        """
        c = self.widths
        down = (c[0], 2 * c[1], 4 * c[2]) + (8 * c[3],) * (self.downs - 3)
        up = (c[7], 2 * c[6], 4 * c[5]) + (8 * c[4],) * (self.downs - 3)
        return down, up[: self.downs - 1]

    @property
    def unused(self) -> tuple[int, ...]:
        """Positions of widths that no layer uses: a unet with three or four downs lacks their levels."""
        missing = {3: (3, 4, 5), 4: (4,)}
        return missing.get(self.downs, ()) if self.family == "unet" else ()

    @property
    def groups(self) -> tuple[int, int, int]:
        """Residual blocks in each of a resnet's three groups; the last one takes the remainder."""
        third = self.blocks // 3
        return third, third, self.blocks - 2 * third

    @property
    def stride(self) -> int:
        """Spatial reduction: height and width must be multiples of it."""
        if self.network:
            return self.network.stride
        if self.family == "resnet":
            return 4
        if self.family == "unet":
            return int(2**self.downs)
        return 64 if self.upsampling == "more" else 32

    @property
    def least(self) -> int:
        """The minimum side: two strides where a single pixel could not be reflected and has no variance; three where
        the padding reflects two pixels."""
        if self.network:
            return self.network.least
        if self.block == "inception":
            return 3 * self.stride
        return self.stride * (1 if self.family == "unet" else 2)

    def fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        """The smallest (height, width) that the generator accepts and that contains *size*."""
        height, width = (max(-(-side // self.stride) * self.stride, self.least) for side in size)
        return height, width

    def with_widths(self, widths: tuple[int, ...]) -> GeneratorSpec:
        """The same generator at other widths."""
        return GeneratorSpec.model_validate({**dict(self), "widths": widths})
