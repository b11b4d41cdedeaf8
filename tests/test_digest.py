"""Digests distinguish exact bytes, whichever library holds them."""

import numpy as np
import pytest
import torch

from fitlib.digest import canonical_json, digest_arrays, digest_file, digest_json

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        [("b", ARRAY)],
        [("a", ARRAY.astype(np.float64))],
        [("a", ARRAY.reshape(3, 2))],
        [("a", np.nextafter(ARRAY, np.float32(9)))],
        [("a", ARRAY), ("a", ARRAY)],
    ],
    ids=["name", "dtype", "shape", "one ulp", "twice"],
)
def test_any_difference_changes_the_digest(other):
    assert digest_arrays([("a", ARRAY)]) != digest_arrays(other)


def test_equal_bytes_have_equal_digests_whatever_the_memory_layout():
    assert digest_arrays([("a", ARRAY)]) == digest_arrays([("a", np.asfortranarray(ARRAY))])
    tensor = torch.from_numpy(ARRAY)
    assert digest_arrays([("a", tensor)]) == digest_arrays([("a", tensor.T.contiguous().T)])


def test_negative_zero_is_not_zero():
    assert digest_arrays([("a", np.array([0.0]))]) != digest_arrays([("a", np.array([-0.0]))])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8])
def test_every_dtype_and_shape_has_a_digest(dtype):
    shapes = [torch.zeros(()), torch.zeros(0), torch.zeros(2, 3)]
    assert len({digest_arrays([("t", t.to(dtype))]) for t in shapes}) == len(shapes)


def test_json_digest_ignores_the_order_of_keys_and_refuses_nan(tmp_path):
    assert digest_json({"a": 1, "b": [2]}) == digest_json({"b": [2], "a": 1})
    with pytest.raises(ValueError):
        canonical_json({"a": float("nan")})
    (tmp_path / "f").write_bytes(canonical_json({"a": 1}))
    assert digest_file(tmp_path / "f") == digest_json({"a": 1})
