"""Everything at once, for minutes: what no single test brings together."""
