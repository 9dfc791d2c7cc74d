"""A classifier, and the one way from an image to an answer that all its verbs go.

    source -> prepare (decode, cut views) -> pack into batches -> networks -> scores -> one answer

`source` is what people have in hand, `preparing` and `packing` make batches of it, `inference`
shows them to the networks; `predictions`, `evaluation`, `explaining` and `vectors` are what is made
of the answers.
"""
