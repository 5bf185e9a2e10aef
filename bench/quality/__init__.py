"""How good what a scorer finds is, by the field's public annotation files, which whoever runs this has to have."""
