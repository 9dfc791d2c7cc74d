"""Classifiers behind an address: the human form, the Open Inference Protocol, and a page.

    request -> upload (counted while it arrives) -> decoding threads -> one thread a model -> answer

`options` is what can be chosen; `repository` holds the models by name, each a `model` with its
`worker`, the thread that answers whatever waits as one batch; `uploads` and `multipart` read
bodies; `human` and `inference_protocol` are the two forms; `telemetry` counts and logs;
`application` puts them together, and `server` runs it until a signal ends it.
"""
