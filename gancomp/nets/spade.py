"""The SPADE generator of GauGAN, at any widths: label maps in, pictures out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gancomp.nets.generator import Generator, State
from gancomp.nets.layers import BatchNorm, convolution, initialise_xavier, nearest
from gancomp.spec import GeneratorSpec

SLOPE = 0.2


class SpadeNorm(nn.Module):
    """Batch (or instance) normalisation whose scale and shift are made, pixel by pixel, from the label map.

    Its *hidden* channels are shared by the convolutions of γ and β; these are all that is decomposed in a separable
    SPADE generator (with InstanceNorm between, unless the spec names another).
    """

    def __init__(self, channels: int, hidden: int, spec: GeneratorSpec) -> None:
        super().__init__()
        labels = spec.in_channels
        self.norm = BatchNorm(channels, affine=False) if spec.norm == "batch" else nn.InstanceNorm2d(channels)
        self.shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, padding=1), nn.ReLU(inplace=True))
        self.gamma = convolution(spec.block, hidden, channels, spec.between, padding=1)
        self.beta = convolution(spec.block, hidden, channels, spec.between, padding=1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """x (n, channels, h, w), labels (n, labels, h, w) → as x."""
        normal = self.norm(x)
        hidden = self.shared(labels)
        out: Tensor = normal * (1 + self.gamma(hidden)) + self.beta(hidden)
        return out


class SpadeBlock(nn.Module):
    """A residual block of two 3x3 convolutions, each after SPADE and a leaky ReLU.

    *learned* gives the shortcut a SPADE and a 1x1 convolution of its own, which a block that changes the number of
    channels needs. It is a property of the block's position: by the widths, subnets would differ in topology.
    """

    def __init__(
        self, inputs: int, inner: int, outputs: int, hidden: int, spec: GeneratorSpec, *, learned: bool
    ) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(inputs, inner, 3, padding=1)
        self.conv_1 = nn.Conv2d(inner, outputs, 3, padding=1)
        self.norm_0 = SpadeNorm(inputs, hidden, spec)
        self.norm_1 = SpadeNorm(inner, hidden, spec)
        self.learned = learned
        if learned:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.norm_s = SpadeNorm(inputs, hidden, spec)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """x (n, inputs, h, w), labels (n, labels, H, W) of any size → (n, outputs, h, w)."""
        height, width = x.shape[2:]
        small = nearest(labels, (height, width))
        shortcut = self.conv_s(self.norm_s(x, small)) if self.learned else x
        out = self.conv_0(F.leaky_relu(self.norm_0(x, small), SLOPE))
        out = self.conv_1(F.leaky_relu(self.norm_1(out, small), SLOPE))
        total: Tensor = shortcut + out
        return total


class SpadeGenerator(Generator):
    """A convolution of the tiny label map, three blocks on the trunk, four that widen the picture, and a convolution.

    Widths: c0 x16 the trunk; c1, c2, c3 x16 the inner width of the trunk's three blocks; c4 x8, c5 x4, c6 x2 and c7
    the channels that the four upsampling blocks write, whose inner width is the smaller of what they read and write.
    A block's SPADE layers have 2c hidden channels, unless the spec names another number. The picture is doubled before
    every block but the first and, unless `upsampling="more"`, the third.

    Between segments pass the activation and the whole label map, which every SPADE layer reads.
    """

    segments = ("fc", "head", "middle1", "middle2", "up1", "up2", "up3", "up4", "output")
    distilled = ("head", "middle2", "up2")

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        c, labels = spec.widths, spec.in_channels
        trunk = 16 * c[0]

        def middle(width: int) -> SpadeBlock:
            return SpadeBlock(trunk, 16 * width, trunk, spec.hidden_of(width), spec, learned=False)

        def up(inputs: int, outputs: int, width: int) -> SpadeBlock:
            inner = min(inputs, outputs)
            return SpadeBlock(inputs, inner, outputs, spec.hidden_of(width), spec, learned=True)

        self.fc = nn.Conv2d(labels, trunk, 3, padding=1)
        self.head = middle(c[1])
        self.middle1 = middle(c[2])
        self.middle2 = middle(c[3])
        self.up1 = up(trunk, 8 * c[4], c[4])
        self.up2 = up(8 * c[4], 4 * c[5], c[5])
        self.up3 = up(4 * c[5], 2 * c[6], c[6])
        self.up4 = up(2 * c[6], c[7], c[7])
        self.output = nn.Conv2d(c[7], spec.out_channels, 3, padding=1)
        self._doubled = {"middle1", "up1", "up2", "up3", "up4"} | ({"middle2"} if spec.upsampling == "more" else set())
        initialise_xavier(self)

    def run_segment(self, index: int, state: State) -> State:
        name = self.segments[index]
        if name == "fc":
            height, width = state.shape[2:]
            start = (height // self.spec.stride, width // self.spec.stride)
            return self.fc(nearest(state, start)), state
        x, labels = state
        if name == "output":
            return self.output(F.leaky_relu(x, SLOPE)).tanh()
        if name in self._doubled:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return getattr(self, name)(x, labels), labels

    def feature_channels(self) -> list[int]:
        c = self.spec.widths
        return [16 * c[0], 16 * c[0], 4 * c[5]]
