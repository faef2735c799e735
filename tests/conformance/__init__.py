"""The distribution-spec's own conformance suite against a live registry."""
