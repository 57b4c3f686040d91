"""Whatever the network, the groups that are read from it are those of its channels."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gancomp.elastic.graph import Graph, read_graph, resized
from gancomp.elastic.pruning import pruned
from gancomp.errors import GancompError
from tests.elastic.zoo import ZOO, HardCoded

#: Channels of the input, where they are not three.
CHANNELS = {"stargan": 8}


def built(name: str) -> nn.Module:
    """A network of the zoo, all its weights and statistics drawn."""
    torch.manual_seed(0)
    network = ZOO[name]().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for key, buffer in network.named_buffers():
            if key.endswith("running_mean") or key.endswith("running_var"):
                buffer += 0.3 * torch.rand_like(buffer)
    return network


def graph_of(name: str) -> Graph:
    return read_graph(built(name), (CHANNELS.get(name, 3), 32, 32))


GRAPHS: dict[str, Graph] = {}


def graph(name: str) -> Graph:
    return GRAPHS.setdefault(name, graph_of(name))


def pictures(name: str) -> Tensor:
    return torch.rand(2, CHANNELS.get(name, 3), 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", ZOO)
@torch.inference_mode()
def test_pruned_at_full_width_it_is_the_whole(name: str) -> None:
    """All channels are kept and put into another order, everywhere the same: the pictures are those of before."""
    network, read = built(name), graph(name)
    tensors = pruned(read, network.state_dict(), {group: group.full for group in read.free})
    assert any(not torch.equal(tensors[key], tensor) for key, tensor in network.state_dict().items())
    before = network(pictures(name))
    network.load_state_dict(tensors)
    torch.testing.assert_close(network(pictures(name)), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ZOO)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_it_runs_at_any_widths(name: str, data: st.DataObject) -> None:
    read = graph(name)
    sizes = {group: data.draw(st.integers(1, group.full)) for group in read.free}
    network = resized(read, sizes)
    network.load_state_dict(pruned(read, built(name).state_dict(), sizes), assign=True)
    with torch.inference_mode():
        assert network.eval()(pictures(name)).isfinite().all()
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    assert read.sizes_of(shapes) == sizes


@pytest.mark.parametrize(
    ("name", "free"),
    {
        "unet": 7,
        "cut": 8,  # stem, two down, three inner, two up
        "pix2pixhd 3": 9,
        "johnson": 5,
        "stargan": 4,
        "esrgan": 8,
        "ugatit": 4,  # the weights of its pooled heads scale the trunk, and follow it
        "shuffled": 4,
        "attention": 2,  # queries and keys have as many; values are added to what they are made of
    }.items(),
)
def test_each_layer_that_can_be_narrowed_is_found(name: str, free: int) -> None:
    assert len(graph(name).free) == free
    assert [group.reason for group in graph(name).frozen if "output" not in group.reason] == []


def test_a_name_of_channels_in_the_code_freezes_its_group_alone() -> None:
    read = read_graph(HardCoded(), (3, 32, 32))
    assert [group.name for group in read.free] == ["free"]
    (frozen,) = (group for group in read.frozen if group.name == "named")
    assert "view" in frozen.reason


def test_a_weight_that_is_used_twice_follows_both_uses() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.again = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.last = nn.Conv2d(8, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.head(x)
            return self.last(self.again(self.again(x).relu()))

    read = read_graph(Twice(), (3, 8, 8))
    assert [group.full for group in read.free] == [8]


def test_what_fails_without_a_word_freezes_its_group() -> None:
    class Asserts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.head(x)
            if x.shape[1] != 8:
                raise AssertionError
            return self.last(x)

    read = read_graph(Asserts(), (3, 8, 8))
    assert not read.free
    assert "AssertionError" in " ".join(group.reason for group in read.frozen)


def test_the_network_is_left_as_it_was() -> None:
    network = built("unet")
    before = copy.deepcopy(network.state_dict())
    read_graph(network, (3, 32, 32))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_does_not_run_is_refused() -> None:
    with pytest.raises(GancompError, match="does not run on pictures of 4x32x32"):
        read_graph(built("unet"), (4, 32, 32))
