"""Networks: modules with `features(x)` (rows, n_features), a linear `head` and `forward(x) = head(features(x))`.

They are constructed as `Network(shape, n_outputs, options)`, with the options model of their entry in the registry.
"""
