"""What is worked out once for each object."""

from __future__ import annotations

from serin_operator.decide.once import KEPT, once_per_object


def test_one_object_is_asked_once_and_an_equal_one_by_itself():
    asked: list[list[int]] = []

    @once_per_object
    def total(numbers: list[int]) -> int:
        asked.append(numbers)
        return sum(numbers)

    first, equal = [1, 2], [1, 2]
    assert [total(first), total(first), total(equal), total(first)] == [3, 3, 3, 3]
    assert len(asked) == 2


def test_a_new_object_never_gets_the_answer_of_one_that_is_gone():
    @once_per_object
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    assert [total([number]) for number in range(3 * KEPT)] == list(range(3 * KEPT))


def test_no_more_objects_are_kept_than_that():
    asked = 0

    @once_per_object
    def count(_: list[int]) -> int:
        nonlocal asked
        asked += 1
        return asked

    objects: list[list[int]] = [[] for _ in range(KEPT + 1)]
    assert [count(one) for one in objects] == list(range(1, KEPT + 2))
    assert count(objects[-1]) == KEPT + 1, "the latest are known"
    assert count(objects[0]) == KEPT + 2, "the oldest was forgotten"
