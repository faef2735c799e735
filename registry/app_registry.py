"""The domain as the settings want it, without all that a server is made of: commands that only need this start sooner.

Part of the composition root.
"""

from auth.policy_source import PolicySource
from config.settings import Settings
from registry.content.repository import Registry, Rules
from storage_backends.base import StorageBackend


def registry_rules(settings: Settings) -> Rules:
    """What the registry accepts."""
    section = settings.registry
    return Rules(
        max_manifest_bytes=section.max_manifest_bytes,
        max_blob_bytes=section.max_blob_bytes,
        check_references=section.check_references,
        allow_sparse_indexes=section.allow_sparse_indexes,
        allow_foreign_layers=section.allow_foreign_layers,
        grace_seconds=settings.cleanup.grace_seconds,
    )


def build_registry(settings: Settings, backend: StorageBackend, policy: PolicySource) -> Registry:
    """The domain over a storage."""
    return Registry(backend, registry_rules(settings), lambda name: policy.current().immutable_in(name))
