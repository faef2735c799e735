"""What is remembered, and what has to go."""

from registry.mirror.memory import Memory


def test_the_oldest_goes_first() -> None:
    memory: Memory[int] = Memory(60.0, most=2)

    for number in (1, 2, 1, 3):
        memory.keep(number, number)

    assert [memory.get(number) for number in (1, 2, 3)] == [1, None, 3]


def test_what_is_heavy_takes_the_room_of_many_and_the_newest_always_stays() -> None:
    memory: Memory[str] = Memory(60.0, most=10, weight=len)

    memory.keep("a", "12345")
    memory.keep("b", "12345")
    memory.keep("b", "1234")
    assert [memory.get("a"), memory.get("b")] == ["12345", "1234"]
    memory.keep("c", "12")
    assert [memory.get("a"), memory.get("b"), memory.get("c")] == [None, "1234", "12"]
    memory.keep("d", "1" * 1000)
    assert [memory.get(key) for key in "abcd"] == [None, None, None, "1" * 1000]
    memory.keep("e", "1")
    assert [memory.get("d"), memory.get("e")] == [None, "1"]


def test_what_is_over_is_forgotten() -> None:
    memory: Memory[int] = Memory(0.0)

    memory.keep("a", 1)

    assert memory.get("a") is None
    assert memory._weighs == 0
