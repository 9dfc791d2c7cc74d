"""Networks in files of other runtimes, with their preprocessing, and the proof that they agree.

Reading order: `crop` (the resize as matrices), `form` (what goes into a graph), `program` (a graph
of a network), `onnx_model`, `openvino_model` and `torch_model` (one file format each), `targets`
(the table of these), `description` (what a file says about itself), `parity` (the proof), `export`
(the whole way), `opened` (a file as a bundle).
"""
