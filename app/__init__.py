"""The shells: the command line and the page, both thin, on one core."""
