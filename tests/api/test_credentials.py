"""One token, many coats."""

import pytest
from multidict import CIMultiDict

from api.credentials import Presented, presented_in
from core.values.errors import Unauthorized

PREIMAGE = "ab" * 32


@pytest.mark.parametrize(
    ("headers", "presented"),
    [
        ([], None),
        ([("Authorization", "Bearer tok")], Presented("tok")),
        ([("Authorization", "bearer   tok")], Presented("tok")),
        ([("X-Api-Key", "tok")], Presented("tok")),
        ([("Authorization", f"L402 tok:{PREIMAGE}")], Presented("tok", PREIMAGE)),
        ([("Authorization", f"LSAT tok:{PREIMAGE}")], Presented("tok", PREIMAGE)),
        ([("Authorization", f"Bearer tok:{PREIMAGE}")], Presented("tok", PREIMAGE)),
        ([("X-Api-Key", f"tok:{PREIMAGE}")], Presented("tok", PREIMAGE)),
        ([("Authorization", "Bearer")], None),
        ([("Authorization", "Bearer ")], None),
        ([("X-Api-Key", "")], None),
        ([("Authorization", "Basic dXNlcjpwYXNz")], None),
        ([("Authorization", "Bearer"), ("X-Api-Key", "tok")], Presented("tok")),
        ([("Authorization", "Bearer tok"), ("X-Api-Key", "tok")], Presented("tok")),
        ([("Authorization", "Bearer a+b/=="), ("X-Api-Key", "a-b_")], Presented("a+b/==")),
        (
            [("Authorization", f"LSAT tok:{PREIMAGE}"), ("Authorization", f"L402 tok:{PREIMAGE}")],
            Presented("tok", PREIMAGE),
        ),
        (
            [("X-Api-Key", "tok"), ("Authorization", f"L402 tok:{PREIMAGE}")],
            Presented("tok", PREIMAGE),
        ),
    ],
)
def test_every_coat_holds_the_same_token(headers, presented):
    assert presented_in(CIMultiDict(headers)) == presented


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer one"), ("X-Api-Key", "two")],
        [("Authorization", "Bearer one"), ("Authorization", "Bearer two")],
        [("X-Api-Key", "one"), ("X-Api-Key", "two")],
        [("Authorization", f"L402 tok:{PREIMAGE}"), ("X-Api-Key", "tok:" + "cd" * 32)],
        [("Authorization", "L402 tok:abc")],
        [("Authorization", f"L402 tok:{PREIMAGE.upper()}")],
        [("Authorization", "Bearer tok:")],
    ],
)
def test_two_credentials_and_broken_preimages_are_refused(headers):
    with pytest.raises(Unauthorized):
        presented_in(CIMultiDict(headers))


def test_a_token_is_not_shown_by_accident():
    assert "tok" not in repr(Presented("tok", PREIMAGE))
