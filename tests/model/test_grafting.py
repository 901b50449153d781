"""Filter grafting: entropy by hand, who takes over from whom, and the twin's checkpoint."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from acfd_stream.errors import ConfigError
from acfd_stream.model.grafting import entropy, graft, own_share, read_peer
from acfd_stream.model.settings import GraftConfig

CONFIG = GraftConfig(peer="x")
SPREAD = torch.linspace(0, 1, 100).reshape(10, 10, 1, 1)  # every bin alike
LUMPED = torch.cat([torch.zeros(99), torch.ones(1)]).reshape(10, 10, 1, 1)


def test_entropy_of_spread_and_of_equal_weights() -> None:
    assert entropy(SPREAD) == pytest.approx(math.log(10))
    assert entropy(torch.full((3, 3, 1, 1), 2.0)) == 0
    assert entropy(LUMPED) == pytest.approx(-0.99 * math.log(0.99) - 0.01 * math.log(0.01))


def test_the_layer_that_knows_more_keeps_more() -> None:
    assert own_share(SPREAD, SPREAD, CONFIG) == 0.5
    most = 0.4 * math.pi / 2 + 0.5
    assert own_share(SPREAD, LUMPED, CONFIG) == pytest.approx(most, abs=1e-3)
    assert own_share(LUMPED, SPREAD, CONFIG) == pytest.approx(1 - most, abs=1e-3)


def test_layers_are_mixed_in_place_with_their_norms() -> None:
    state = {"a.weight": LUMPED.clone(), "a.norm": torch.zeros(10), "a.count": torch.tensor(3)}
    peer = {"a.weight": SPREAD.clone(), "a.norm": torch.ones(10), "a.count": torch.tensor(9)}
    (share,) = graft(state, peer, CONFIG)
    torch.testing.assert_close(state["a.weight"], LUMPED * share + SPREAD * (1 - share))
    torch.testing.assert_close(state["a.norm"], torch.full((10,), 1 - share))
    assert int(state["a.count"]) == 3


def test_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="same network"):
        graft({"a": SPREAD}, {"b": SPREAD}, CONFIG)


def test_a_twin_that_has_not_saved_yet_is_waited_for(tmp_path: Path) -> None:
    assert read_peer(tmp_path / "last.pt") is None
    torch.save({"network": {"a": SPREAD}}, tmp_path / "last.pt")
    assert read_peer(tmp_path / "last.pt").keys() == {"a"}


def test_reach_beyond_a_whole_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"graft\.reach"):
        GraftConfig(reach=0.7)
