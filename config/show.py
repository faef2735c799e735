"""Settings as YAML, in the form in which `load` reads them."""

import yaml

from config.settings import Settings


def as_yaml(settings: Settings) -> str:
    """All settings with their values, sizes in bytes and durations in seconds."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    return text
