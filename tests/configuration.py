"""Configurations as the commands compose them."""

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig


def compose(command: str, *overrides: str) -> DictConfig:
    """The configuration of a command with overrides."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("cgnnp.conf", version_base="1.3"):
        return hydra.compose(command, list(overrides))
