"""Millions of images: a list of shards that any number of machines answer, one part a shard.

A worker claims a shard, writes its part in one step, and goes on; what is missing is the work.
Nothing is coordinated but by files in the folder that all of them share:

    job.json             what decides the rows; another command is refused
    part-00000.parquet   one row an image of a shard, errors included; made once, whole
    manifest.json        at the end: how many shards, rows and errors there are
    claims/              who works on what just now; empty at the end
"""
