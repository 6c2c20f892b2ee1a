"""What the estimators take from scikit-learn. It has no types: the stub beside this adds them."""

try:
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        ClusterMixin,
        TransformerMixin,
    )
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils._param_validation import (
        Interval,
        StrOptions,
        validate_parameter_constraints,
    )
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "ckmeans.KMeans needs scikit-learn 1.6 or later: pip install 'ckmeans-lloyd[sklearn]'"
    ) from error

__all__ = [
    "BaseEstimator",
    "ClassNamePrefixFeaturesOutMixin",
    "ClusterMixin",
    "ConvergenceWarning",
    "Interval",
    "StrOptions",
    "TransformerMixin",
    "check_is_fitted",
    "check_random_state",
    "validate_data",
    "validate_parameter_constraints",
]
