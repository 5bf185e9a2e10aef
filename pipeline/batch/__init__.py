"""Many videos: what a folder holds, a reel of each, a summary of all.

work.py says what one video's work is and what comes of it, finding.py where videos are, local.py does several at once
on this machine, summary.py shows what was made.
"""
