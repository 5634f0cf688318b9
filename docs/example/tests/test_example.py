"""What an installed wheel is asked."""

import unittest

import example


class AddTest(unittest.TestCase):
    """The function in C."""

    def test_numbers_are_added(self) -> None:
        self.assertEqual(example.add(40, 2), 42)


if __name__ == "__main__":
    unittest.main()
