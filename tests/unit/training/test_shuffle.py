"""The order of frames: by seed and epoch alone."""

import pytest
import torch

from cgnnp.training.data import EpochShuffle


def orders(seed: int, n_epochs: int = 3) -> list[list[int]]:
    shuffle, result = EpochShuffle(20, seed), []
    for epoch in range(n_epochs):
        shuffle.set_epoch(epoch)
        result.append(list(shuffle))
    return result


@pytest.mark.parametrize("seed", [0, 5, 20241124133052, -1, -20241124133052, 2**70])
def test_every_seed_shuffles_every_epoch_in_its_own_way(seed):
    first = orders(seed)
    assert all(sorted(order) == list(range(20)) for order in first)
    assert len({tuple(order) for order in first}) == 3
    assert orders(seed) == first
    assert orders(seed + 1) != first


def test_small_seeds_keep_their_order():
    expected = [torch.randperm(20, generator=torch.Generator().manual_seed(7 * 1_000_003 + k)).tolist() for k in range(3)]
    assert orders(7) == expected
