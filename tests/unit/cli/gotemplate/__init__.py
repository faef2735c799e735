"""Go templates."""
