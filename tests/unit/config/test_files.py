"""The settings files that we ship."""

import re
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from config.load import ConfigError, load
from config.names import dotted, setting_paths
from config.settings import Settings

CONFIG = Path(str(resources.files("config")))
EXAMPLES = sorted((CONFIG / "examples").rglob("*.yml"))


def test_the_reference_file_holds_every_setting_with_its_default() -> None:
    document = yaml.safe_load((CONFIG / "default.yml").read_text("utf-8"))
    for path in setting_paths():
        section = document
        for name in path:
            assert name in section, f"{dotted(path)} is missing in default.yml"
            section = section[name]

    assert load(CONFIG / "default.yml", environment=False) == Settings()


def test_the_reference_file_explains_every_setting() -> None:
    lines = (CONFIG / "default.yml").read_text("utf-8").splitlines()
    names = {path[-1] for path in setting_paths()}

    for before, line in pairwise(lines):
        found = re.match(r"\s+(\w+):", line)
        if found and found[1] in names:
            assert before.strip().startswith("#"), f"{line.strip()} has no explanation"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_each_example_can_be_used(file: Path) -> None:
    assert load(file, environment=False) != Settings()


def test_the_manifest_for_kubernetes_has_settings_that_can_be_used_and_time_to_stop(tmp_path: Path) -> None:
    text = (CONFIG / "examples" / "three-replicas" / "kubernetes.yaml").read_text("utf-8")
    objects = {document["kind"]: document for document in yaml.safe_load_all(text)}
    file = tmp_path / "cargohold.yml"
    file.write_text(objects["ConfigMap"]["data"]["cargohold.yml"])

    settings = load(file, environment=False)

    assert settings.storage.s3.bucket
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > settings.server.drain_timeout_seconds + 5


def test_there_are_examples() -> None:
    assert {file.stem for file in EXAMPLES} >= {"behind-nginx", "tls", "team-on-a-lan"}


def test_the_settings_of_the_container_lack_nothing_but_the_operators_decision() -> None:
    with pytest.raises(ConfigError) as refused:
        load(CONFIG / "container.yml", environment=False)

    [mistake] = refused.value.mistakes
    assert "CARGOHOLD_ACCESS__ALLOW_ANONYMOUS_WRITES=true" in mistake.message
