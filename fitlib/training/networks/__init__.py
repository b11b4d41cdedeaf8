"""Networks: modules with `features(x)` (rows, n_features), a linear `head` and `forward(x) = head(features(x))`."""
