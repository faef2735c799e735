"""Looking around in a place that holds images, as docker's image verbs do."""
