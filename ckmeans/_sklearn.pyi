from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

class BaseEstimator:
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    def get_params(self, deep: bool = True) -> dict[str, Any]: ...
    def set_params(self, **params: Any) -> Self: ...
    def get_metadata_routing(self) -> Any: ...
    def __sklearn_tags__(self) -> Any: ...

class ClusterMixin: ...

class TransformerMixin:
    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self: ...

class ClassNamePrefixFeaturesOutMixin:
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]: ...

class ConvergenceWarning(UserWarning): ...

class Interval:
    def __init__(
        self, type: type, left: float | None, right: float | None, *, closed: str
    ) -> None: ...

class StrOptions:
    def __init__(self, options: set[str]) -> None: ...

def check_is_fitted(estimator: BaseEstimator) -> None: ...
def check_random_state(seed: Any) -> np.random.RandomState: ...
def validate_data(
    estimator: BaseEstimator,
    /,
    X: Any = ...,
    *,
    reset: bool = True,
    skip_check_array: bool = False,
    **check_params: Any,
) -> np.ndarray: ...
def validate_parameter_constraints(
    parameter_constraints: dict[str, list[Any]], params: dict[str, Any], caller_name: str
) -> None: ...
