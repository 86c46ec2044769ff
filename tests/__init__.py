import pytest

pytest.register_assert_rewrite("tests.support")  # a failed assert of a helper says its values, as a test's does
