import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.values.caveats import (
    NUMBER_MAX,
    RIGHTS,
    Budget,
    Right,
    new_budget_id,
    read_caveats,
    write_caveats,
)
from core.values.errors import InvalidRequest
from core.values.money import Msat

ID_A = "0123456789abcdef"
ID_B = "fedcba9876543210"


def test_no_caveat_is_no_limit():
    caveats = read_caveats([])

    assert caveats.count == 0
    assert caveats.expires_at_s is None
    assert caveats.budgets == ()
    assert caveats.max_request_msat is None
    assert caveats.models is None
    assert caveats.rights == set(RIGHTS)


def test_each_caveat_says_what_it_says():
    caveats = read_caveats(
        [
            "expires_at=1800000000",
            f"budget_msat=5000;id={ID_A}",
            "max_request_msat=700",
            "models=openai/gpt-5:free,b=c;d",
            "rights=spend,read",
        ]
    )

    assert caveats.count == 5
    assert caveats.expires_at_s == 1_800_000_000
    assert caveats.budgets == ((ID_A, 5000),)
    assert caveats.max_request_msat == 700
    assert caveats.models == {"openai/gpt-5:free", "b=c;d"}
    assert caveats.rights == {"read", "spend"}


@pytest.mark.parametrize(
    ("texts", "strictest"),
    [
        (["expires_at=20", "expires_at=10", "expires_at=30"], ["expires_at=10"]),
        (["max_request_msat=9", "max_request_msat=0"], ["max_request_msat=0"]),
        (["models=a,b,c", "models=c,b", "models=b,d"], ["models=b"]),
        (["rights=read,spend", "rights=spend,manage"], ["rights=spend"]),
        (
            [f"budget_msat=5;id={ID_A}", f"budget_msat=3;id={ID_A}"],
            [f"budget_msat=3;id={ID_A}"],
        ),
    ],
)
def test_of_two_caveats_of_one_name_the_strictest_wins_in_either_order(texts, strictest):
    wanted = read_caveats(strictest)

    for order in (texts, texts[::-1]):
        caveats = read_caveats(order)
        assert caveats.expires_at_s == wanted.expires_at_s
        assert caveats.budgets == wanted.budgets
        assert caveats.max_request_msat == wanted.max_request_msat
        assert caveats.models == wanted.models
        assert caveats.rights == wanted.rights


def test_budgets_of_different_ids_count_all():
    caveats = read_caveats([f"budget_msat=9;id={ID_A}", f"budget_msat=1;id={ID_B}"])

    assert caveats.budgets == (Budget(ID_A, Msat(9)), Budget(ID_B, Msat(1)))


def test_caveats_that_share_nothing_leave_nothing():
    caveats = read_caveats(["models=a", "models=b", "rights=read", "rights=spend"])

    assert not caveats.allows_model("a")
    assert not caveats.allows_model("b")
    assert not any(caveats.allows(right) for right in RIGHTS)


def test_a_token_is_valid_before_its_expiry_and_not_at_it():
    caveats = read_caveats(["expires_at=100"])

    assert not caveats.is_expired(99)
    assert caveats.is_expired(100)
    assert not read_caveats([]).is_expired(2**62)


@pytest.mark.parametrize(
    "number",
    [
        *["", "01", "00", "+1", "-1", "1_0", " 1", "1 ", "1.0", "1e3", "0x1", "1\n", "1\0"],
        *["\uff11\uff12", "\u00b2", "\u0663"],  # digits that isdigit or int() believes
        *["1,000", "inf", "None", str(NUMBER_MAX + 1), "9" * 17, "9" * 4000],
    ],
)
@pytest.mark.parametrize(
    "caveat", ["expires_at={}", "max_request_msat={}", f"budget_msat={{}};id={ID_A}"]
)
def test_a_number_has_one_spelling_and_a_bound(caveat, number):
    with pytest.raises(InvalidRequest):
        read_caveats([caveat.format(number)])


@pytest.mark.parametrize("number", [0, 1, 10, NUMBER_MAX])
def test_the_ends_of_the_range_are_numbers(number):
    assert read_caveats([f"expires_at={number}"]).expires_at_s == number


@pytest.mark.parametrize(
    "text",
    [
        *["", "=", "expires_at", "expires_at =1", "Expires_at=1", " expires_at=1", "expires_at==1"],
        *["services=chat:0", "preimage=00", "time < 5", "chat_valid_until=1", "right=read"],
        *["budget_msat=1", "budget_msat=1;id=", f"budget_msat=1; id={ID_A}"],
        *[f"budget_msat=1;id={ID_A.upper()}", f"budget_msat=1;id={ID_A}0"],
        *[f"budget_msat=1;id={ID_A[:-1]}", f"budget_msat=1;id={ID_A};id={ID_A}"],
        *[f"budget_msat=1;ID={ID_A}", f"id={ID_A};budget_msat=1", f"budget_msat=1;id={ID_A}\n"],
        *["models=", "models=,", "models=a,", "models=,a", "models=a,,b", "models=a, b"],
        *["models=ä", "models=a\tb", "models=a\n", "models=a\0", "models=\x7f"],
        *["rights=", "rights=all", "rights=READ", "rights=read,", "rights=read, spend"],
        *["rights=read\n", "rights=none", "rights=read;spend", "rights=*"],
    ],
)
def test_what_the_grammar_does_not_know_is_refused(text):
    with pytest.raises(InvalidRequest):
        read_caveats([text])
    with pytest.raises(InvalidRequest):
        read_caveats(["expires_at=1", text, "rights=read"])


def test_what_is_written_reads_the_same():
    texts = write_caveats(
        expires_at_s=5,
        budget=Budget(ID_A, Msat(7)),
        max_request_msat=3,
        models=["b", "a"],
        rights={"spend", "read"},
    )

    assert texts == (
        "expires_at=5",
        f"budget_msat=7;id={ID_A}",
        "max_request_msat=3",
        "models=b,a",
        "rights=read,spend",
    )
    assert read_caveats(texts).texts == texts
    assert write_caveats() == ()


@pytest.mark.parametrize(
    "limit",
    [
        {"expires_at_s": -1},
        {"budget": Budget("short", Msat(1))},
        {"budget": Budget(ID_A, Msat(-1))},
        {"max_request_msat": NUMBER_MAX + 1},
        {"models": []},
        {"models": ["a,b", "c d"]},
        {"rights": []},
    ],
)
def test_a_limit_that_cannot_be_written_is_refused(limit):
    with pytest.raises(InvalidRequest):
        write_caveats(**limit)


def test_budget_ids_are_fresh():
    ids = {new_budget_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(write_caveats(budget=Budget(budget_id, Msat(1))) for budget_id in ids)


names_and_values = st.tuples(
    st.sampled_from(["expires_at", "budget_msat", "max_request_msat", "models", "rights", "x"]),
    st.one_of(
        st.text(max_size=20),
        st.from_regex(r"[0-9]{1,17}", fullmatch=True),
        st.from_regex(r"[0-9]{1,5};id=[0-9a-f]{16}", fullmatch=True),
        st.lists(st.sampled_from([*RIGHTS, "a", "b"]), max_size=4).map(",".join),
    ),
).map("=".join)


@given(st.lists(st.one_of(names_and_values, st.text(max_size=30)), max_size=6))
def test_any_texts_are_read_or_refused(texts):
    try:
        caveats = read_caveats(texts)
    except InvalidRequest:
        return

    assert caveats.texts == tuple(texts)
    assert all(text.isascii() for text in texts)


@given(st.lists(names_and_values, max_size=4), names_and_values)
def test_one_caveat_more_never_widens(texts, more):
    try:
        before, after = read_caveats(texts), read_caveats([*texts, more])
    except InvalidRequest:
        return

    rights: tuple[Right, ...] = RIGHTS
    assert all(before.allows(right) for right in rights if after.allows(right))
    assert all(before.allows_model(model) for model in "ab" if after.allows_model(model))
    assert _at_most(after.expires_at_s, before.expires_at_s)
    assert _at_most(after.max_request_msat, before.max_request_msat)
    limits = dict(after.budgets)
    assert all(limits[budget_id] <= limit for budget_id, limit in before.budgets)


def _at_most(after: int | None, before: int | None) -> bool:
    return before is None or (after is not None and after <= before)
