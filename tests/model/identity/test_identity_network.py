"""The embedding network: its bands, its backbone, and the layer that it begins with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acfd_stream.errors import ConfigError
from acfd_stream.model.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from acfd_stream.model.identity.crops import SIDE
from acfd_stream.model.identity.initial import SHRINKAGE, discriminants
from acfd_stream.model.identity.network import EmbedderConfig, EmbeddingNetwork, bands

SMALL = EmbedderConfig(size=64, dimensions=16)


def test_bands_are_of_equal_height_and_share_a_row_between_them() -> None:
    assert bands(3, 2).tolist() == [pytest.approx(row) for row in ([2 / 3, 0], [1 / 3, 1 / 3], [0, 2 / 3])]
    assert bands(4, 4).tolist() == torch.eye(4).tolist()


@pytest.mark.parametrize("size", [48, 64, 112, 144])
@pytest.mark.parametrize("view", ["cut", "scaled"])
def test_embeddings_have_unit_length_at_every_size(size: int, view: str) -> None:
    network = EmbeddingNetwork(EmbedderConfig(size=size, view=view, dimensions=16)).eval()
    with torch.inference_mode():
        found = network(torch.randn(2, 3, SIDE, SIDE))
    assert found.shape == (2, 16)
    assert found.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_what_lies_outside_the_cut_changes_nothing() -> None:
    network = EmbeddingNetwork(SMALL).eval()
    first = torch.randn(1, 3, SIDE, SIDE)
    other = first.clone()
    other[:, :, : (SIDE - 64) // 2] = 9.0
    with torch.inference_mode():
        assert torch.equal(network(first), network(other))
        other[:, :, SIDE // 2] = 9.0
        assert not torch.equal(network(first), network(other))


def test_the_backbone_begins_between_imagenet_and_a_detector() -> None:
    network = EmbeddingNetwork(SMALL)
    network.load_imagenet()
    before = network.backbone.stem.conv.weight.clone()
    whole = EfficientNetLite(EfficientNetLiteConfig())
    state = {f"backbone.{name}": torch.zeros_like(value) for name, value in whole.state_dict().items()}
    network.mix_backbone(state, 0.25)
    assert torch.allclose(network.backbone.stem.conv.weight, 0.75 * before)
    other = EfficientNetLite(EfficientNetLiteConfig(2))
    state = {f"backbone.{name}": value for name, value in other.state_dict().items()}
    with pytest.raises(ConfigError, match="another backbone"):
        network.mix_backbone(state, 0.5)


def test_discriminants_spread_the_views_of_a_character_alike_and_keep_what_differs() -> None:
    rng = np.random.default_rng(0)
    characters = np.repeat(np.arange(40), 50)
    places = rng.standard_normal((40, 6)) * [0, 0, 5, 5, 0, 0]  # characters differ in two of six directions
    spread = np.array([10.0, 0.1, 1.0, 3.0, 1.0, 1.0])
    features = (places[characters] + rng.standard_normal((2000, 6)) * spread).astype(np.float32)
    weight, bias = discriminants(features, characters, 2)
    found = features @ weight.T + bias
    within = np.concatenate([found[characters == number] - found[characters == number].mean(0) for number in range(40)])
    assert np.cov(within.T) == pytest.approx(np.eye(2), abs=0.25 * (1 + SHRINKAGE))
    assert np.abs(weight[:, [0, 1, 4, 5]] * spread[[0, 1, 4, 5]]).max() < 0.2
    assert np.abs(found.mean(0)).max() < 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"size": 100}, "network.size"), ({"taps": (5, 3)}, "network.taps"), ({"bands": 0}, "network.bands")],
)
def test_sizes_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmbedderConfig(**settings)
