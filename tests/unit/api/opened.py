"""The API without authentication: everybody may do everything."""

from auth.policy import OPEN_RULES, Policy
from auth.policy_source import PolicySource
from registry.api.asgi import RegistryApi
from registry.api.audit import Audit
from registry.api.gate import Gate, GateOptions
from registry.api.options import ApiOptions
from registry.content.repository import Registry
from registry.proxies import Proxies


def open_api(registry: Registry, options: ApiOptions) -> RegistryApi:
    """`/v2` over a registry, with its gate open."""
    gate = Gate(PolicySource(Policy(OPEN_RULES)), None, GateOptions("", "/auth/token", options.locations, Proxies()))
    return RegistryApi(registry, gate, options, Audit(None, Proxies()))
