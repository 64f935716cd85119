"""Lets the assertions of ``child`` say what a child printed."""

import pytest

pytest.register_assert_rewrite("child")
