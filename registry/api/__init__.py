"""HTTP in, HTTP out: one module a resource. Holds no rule of the registry."""
