"""Data that does not fit a folder: tar and Parquet shards, here or at an address.

`finding` lists the shards that a name means, `index` knows what each holds, `images` gives their
images by number, and `blocks` fetches what is far away before it is asked for.
"""
