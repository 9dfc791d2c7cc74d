"""Why a network answers as it does: where in an image a class was seen.

Class-activation maps, occlusion maps, the first layer's filters and any layer's feature maps, of
any `nn.Module`; numbers only, `report` draws them.
"""

from backbones.explanation.activation_maps import cam, grad_cam
from backbones.explanation.filters import feature_maps, first_filters
from backbones.explanation.layers import find_layer
from backbones.explanation.maps import Maps
from backbones.explanation.occlusion import Occluder, occlusion

__all__ = [
    "Maps",
    "Occluder",
    "cam",
    "feature_maps",
    "find_layer",
    "first_filters",
    "grad_cam",
    "occlusion",
]
