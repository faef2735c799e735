"""Other places that hold images: registries elsewhere, OCI layouts, bundles; and what copies between them and us."""
