"""The verbs. The only place where the parts meet; the command line calls nothing else.

`networks` has create and show; `data` opens and checks pictures; `training` has train and resume;
`evaluation` and `prediction` use what they leave; `demonstration` does all of it once.
`backbones.create` and its like are these functions.
"""
