"""Makes the reel that a plan describes: what is ordered is in `order`, and `reel` takes the best way to it.

Whoever only orders one is spared the decoders and encoders, which take as long to import as all else does.
"""
