import numpy as np
import pytest
from numba import prange
from numba.core.caching import CacheImpl

from ringfence.kernel.compiled import compiled, compiled_parallel


def add_up_to(count: int) -> int:
    total = 0
    for number in range(count + 1):
        total += number
    return total


def square_all(values):
    for index in prange(len(values)):
        values[index] *= values[index]


@pytest.fixture(params=["a place to keep code", "no place to keep code"])
def machine(request, monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    if request.param == "no place to keep code":
        monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    return request.param


def test_a_kernel_answers_as_its_python_does(machine):
    assert compiled(add_up_to)(10) == add_up_to(10) == 55


def test_a_parallel_kernel_answers_as_its_python_does(machine):
    values = np.arange(5, dtype=np.int64)
    compiled_parallel(square_all)(values)
    assert values.tolist() == [0, 1, 4, 9, 16]


def test_code_is_kept_where_there_is_a_place(machine, tmp_path):
    compiled(add_up_to)(1)
    kept = list(tmp_path.rglob("*.nbc"))
    assert bool(kept) == (machine == "a place to keep code")
