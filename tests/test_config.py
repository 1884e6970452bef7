"""A configuration is understood completely or not at all, and then every fault is named."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from core.config import Config, ConfigFaults, load, secrets_of
from core.config_model import ModelSettings
from core.config_sources import all_keys

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
EMPTY = Path(os.devnull)  # not None: a developer may have a ./boltwork.toml
LNBITS = {
    "BOLTWORK_WALLET__KIND": "lnbits",
    "BOLTWORK_WALLET__LNBITS__URL": "http://127.0.0.1:5000",
    "BOLTWORK_WALLET__LNBITS__INVOICE_KEY": "a-key",
}


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "boltwork.toml"
        file.write_text(text)
        return file

    return write


def faults(path: Path | None = EMPTY, environ: dict[str, str] | None = None) -> dict[str, str]:
    """Path and sentence of everything that stops this start."""
    with pytest.raises(ConfigFaults) as refusal:
        load(path, environ or {})
    return {fault.path: fault.sentence for fault in refusal.value.faults}


def leaves(table: dict[str, Any], path: str = "") -> set[str]:
    """The dotted keys of a table; lists of tables count as one table."""
    found = set()
    for name, value in table.items():
        inner = value[0] if isinstance(value, list) and value else value
        found |= leaves(inner, f"{path}{name}.") if isinstance(inner, dict) else {path + name}
    return found


def test_what_is_not_set_has_its_development_default():
    config = load(EMPTY, {})

    assert config == Config()
    assert str(config.server.listen) == "127.0.0.1:8402"
    assert config.wallet.kind == "stub"
    assert [model.id for model in config.models] == ["offline"]


def test_the_file_that_was_asked_for_goes_before_the_one_in_the_environment(toml, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("jobs.attempts = 5")
    environ = {"BOLTWORK_CONFIG": str(other)}

    assert load(None, environ).jobs.attempts == 5
    assert load(toml("jobs.attempts = 7"), environ).jobs.attempts == 7


def test_the_environment_overrides_the_file_key_by_key(toml):
    file = toml('[jobs]\nattempts = 5\ndeadline_s = 60\n[chat]\nlanguages = ["de"]')
    environ = {
        "BOLTWORK_JOBS__ATTEMPTS": "2",
        "BOLTWORK_CHAT__LANGUAGES": '["en"]',
        "BOLTWORK_DEMO__ENABLED": "false",
        "BOLTWORK_AGENT__OPENAI__BASE_URL": "http://127.0.0.1:9/v1",
        "UNRELATED": "x",
    }

    config = load(file, environ)

    assert (config.jobs.attempts, config.jobs.deadline_s) == (2, 60)
    assert config.chat.languages == ("en",)
    assert config.demo.enabled is False
    assert config.agent.openai.base_url == "http://127.0.0.1:9/v1"


def test_a_table_in_the_environment_is_json_and_its_single_keys_go_last(toml):
    file = toml('[wallet.lnbits]\nurl = "http://old"\nwebhook = false')
    environ = {
        "BOLTWORK_WALLET__LNBITS__INVOICE_KEY": "single",
        "BOLTWORK_WALLET__LNBITS": json.dumps({"url": "http://new", "invoice_key": "table"}),
        "BOLTWORK_MODELS": json.dumps([{"id": "a"}, {"id": "b", "input_msat_per_1k": 7}]),
    }

    config = load(file, environ)

    assert config.wallet.lnbits.url == "http://new"
    assert config.wallet.lnbits.webhook is False
    assert config.wallet.lnbits.invoice_key.get_secret_value() == "single"
    assert [(model.id, model.input_msat_per_1k) for model in config.models] == [
        ("a", 1000),
        ("b", 7),
    ]


@pytest.mark.parametrize("key", [key for key in all_keys(Config) if key.annotation is int])
def test_every_number_can_be_set_from_the_environment(key):
    small = {"BOLTWORK_SESSIONS__L402_DEPOSIT_SATS": "100"}

    settings: Any = load(EMPTY, small | {key.variable: "100"})
    for name in key.path:
        settings = getattr(settings, name)

    assert settings == 100


def test_a_secret_may_stand_in_a_variable_or_in_a_file(tmp_path, toml):
    (tmp_path / "admin").write_text("from-file\n")
    file = toml(
        f'[wallet.lnbits]\ninvoice_key = "env:MY_KEY"\nadmin_key = "file:{tmp_path}/admin"\n'
        '[database]\nurl = "env:BOLTWORK_DATABASE_ADDRESS"'
    )
    environ = {
        "MY_KEY": "from-variable",
        "BOLTWORK_DATABASE_ADDRESS": "postgresql://user:pass%20word@host/db",
    }

    config = load(file, environ)

    assert config.wallet.lnbits.invoice_key.get_secret_value() == "from-variable"
    assert config.wallet.lnbits.admin_key.get_secret_value() == "from-file"
    assert not config.database.is_sqlite


def test_a_secret_that_is_not_where_it_should_be_is_one_fault(tmp_path, toml):
    file = toml(
        '[wallet]\nkind = "lnbits"\n[wallet.lnbits]\nurl = "http://h"\ninvoice_key = "env:NOWHERE"'
        f'\nadmin_key = "file:{tmp_path}/nothing"\n[telegram]\ntoken = "file:{tmp_path}"'
    )

    found = faults(file)

    assert found.keys() == {
        "wallet.lnbits.invoice_key",
        "wallet.lnbits.admin_key",
        "telegram.token",
    }
    assert "NOWHERE is not set" in found["wallet.lnbits.invoice_key"]
    assert "cannot be read" in found["wallet.lnbits.admin_key"]


def test_an_unknown_key_names_the_one_that_was_probably_meant(toml):
    found = faults(
        toml('[server]\nlistn = "x"\neval_fee_sats = 1\n[wallte]\n[[models]]\nidd = "a"')
    )

    assert found == {
        "server.listn": "no such key; did you mean listen?",
        "server.eval_fee_sats": "no such key; did you mean pricing.eval_fee_sats?",
        "wallte": "no such key; did you mean wallet?",
        "models[0].idd": "no such key; did you mean id?",
    }


def test_an_unknown_variable_stops_the_start():
    found = faults(environ={"BOLTWORK_WALET__KIND": "stub", "BOLTWORK_XYZZY": ""})

    assert found == {
        "BOLTWORK_WALET__KIND": "no such setting; did you mean BOLTWORK_WALLET__KIND?",
        "BOLTWORK_XYZZY": "no such setting",
    }


def test_a_wrong_value_from_the_environment_names_its_variable():
    found = faults(environ={"BOLTWORK_JOBS__ATTEMPTS": "many", "BOLTWORK_MODELS": "{"})

    assert found == {
        "jobs.attempts": "must be a whole number (set by BOLTWORK_JOBS__ATTEMPTS)",
        "models": "must be a list (set by BOLTWORK_MODELS)",
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("jobs.attempts = 0", "must be at least 1 (it is 0)"),
        ("jobs.attempts = 3.0", "must be a whole number"),
        ('jobs.attempts = "3"', "must be a whole number"),
        ("jobs.attempts = true", "must be a whole number"),
        ("pricing.min_sats = 0", "must be at least 1 (it is 0)"),
        ("refunds.fee_max_percent = 101", "must be at most 100 (it is 101)"),
        ("demo.enabled = 1", "must be true or false"),
        ("nostr.name = 7", "must be text"),
        ('server.cors_origins = "*"', "must be a list"),
        ("server = 8402", "must be a table"),
        ("models = []", "needs at least one entry"),
        ("chat.languages = []", "needs at least one entry"),
        (
            'pricing.eval_fee_on_reject = "refund"',
            "must be 'keep' or 'return' (it is 'refund')",
        ),
        ('server.listen = "8402"', "must be host:port, for example 127.0.0.1:8402 or [::1]:8402"),
        (
            'operator.listen = "127.0.0.1:70000"',
            "must be host:port, for example 127.0.0.1:8402 or [::1]:8402",
        ),
        (
            'server.public_url = "example.org"',
            "must be an http:// or https:// address without query",
        ),
        ('database.url = "mysql://x"', 'must be "sqlite" or a postgresql:// address'),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(toml, line, sentence):
    assert faults(toml(line)) == {line.partition(" =")[0]: sentence}


@pytest.mark.parametrize(
    "line",
    [
        'server.trusted_proxies = ["10.0.0.0/8", "proxy"]',
        'server.cors_origins = ["https://a.example", "https://a.example/path"]',
        'nostr.relays = ["wss://relay.example", "https://relay.example"]',
        f'nostr.admin_pubkeys = ["{"ab" * 32}", "alice"]',
        'refunds.lnurl_insecure_hosts = ["127.0.0.1:80", "http://127.0.0.1"]',
        'telegram.admin_ids = [1, "2"]',
        'chat.languages = ["en", "xx"]',
    ],
)
def test_the_wrong_entry_of_a_list_is_named(toml, line):
    assert faults(toml(line)).keys() == {line.partition(" =")[0] + "[1]"}


@pytest.mark.parametrize(
    "variable",
    [
        "BOLTWORK_SERVER__SECRET",
        "BOLTWORK_DATABASE__URL",
        "BOLTWORK_NOSTR__SECRET_KEY",
        "BOLTWORK_TELEGRAM__TOKEN",
    ],
)
def test_a_wrong_secret_is_not_repeated(variable):
    canary = "canary 4f9d2c77"

    found = faults(environ={variable: canary})

    assert len(found) == 1
    assert "canary" not in str(found)


def test_all_faults_are_told_at_once(toml):
    file = toml(
        '[server]\nlistn = "x"\nenvironment = "production"\n[jobs]\nattempts = 0\n'
        '[telegram]\ntoken = "env:NOPE"'
    )

    found = faults(file, {"BOLTWORK_NOPE": "1", "BOLTWORK_SESSIONS__L402_DEPOSIT_SATS": "2000000"})

    assert found.keys() == {
        "server.listn",
        "jobs.attempts",
        "telegram.token",
        "BOLTWORK_NOPE",
        "wallet.kind",
        "sessions.l402_deposit_sats",
    }


def test_a_key_that_is_wrong_by_itself_is_not_blamed_a_second_time(toml):
    assert faults(toml('server.environment = "productoin"\nserver.listen = "::"')).keys() == {
        "server.environment",
        "server.listen",
    }


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"[server", "is not TOML"), (b"\xff", "is not UTF-8 text")]
)
def test_a_file_that_is_not_toml_is_named(tmp_path, content, sentence):
    file = tmp_path / "boltwork.toml"
    file.write_bytes(content)

    assert faults(file)[str(file)].startswith(sentence)


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    missing = tmp_path / "missing.toml"

    assert "cannot be read" in faults(missing)[str(missing)]
    assert "cannot be read" in faults(None, {"BOLTWORK_CONFIG": str(missing)})[str(missing)]


def test_the_stub_wallet_is_refused_in_production():
    found = faults(environ={"BOLTWORK_SERVER__ENVIRONMENT": "production"})

    assert found.keys() == {"wallet.kind"}


@pytest.mark.parametrize("listen", ["0.0.0.0:8402", "[::]:8402", "example.org:80", "192.168.1.2:1"])
def test_the_stub_wallet_is_refused_on_a_public_listener(listen):
    assert faults(environ={"BOLTWORK_SERVER__LISTEN": listen}).keys() == {"server.listen"}


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:8402", "localhost:8402"])
def test_the_stub_wallet_is_welcome_on_loopback(listen):
    assert load(EMPTY, {"BOLTWORK_SERVER__LISTEN": listen}).server.listen.is_loopback


def test_lnbits_may_be_public_and_in_production():
    public = {"BOLTWORK_SERVER__ENVIRONMENT": "production", "BOLTWORK_SERVER__LISTEN": "0.0.0.0:80"}

    config = load(EMPTY, LNBITS | public)

    assert config.server.environment == "production"


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"BOLTWORK_WALLET__KIND": "lnbits"}, "wallet.lnbits.url"),
        ({"BOLTWORK_WALLET__KIND": "lnbits"}, "wallet.lnbits.invoice_key"),
        ({"BOLTWORK_MODELS": '[{"id": "a"}, {"id": "a"}]'}, "models"),
        ({"BOLTWORK_PRICING__MIN_SATS": "100001"}, "pricing.min_sats"),
        ({"BOLTWORK_SESSIONS__MIN_DEPOSIT_SATS": "1000001"}, "sessions.min_deposit_sats"),
        (
            {"BOLTWORK_TELEGRAM__TOKEN": "1:x", "BOLTWORK_TELEGRAM__MODE": "webhook"},
            "server.public_url",
        ),
        (
            {
                "BOLTWORK_TELEGRAM__TOKEN": "1:x",
                "BOLTWORK_TELEGRAM__MODE": "webhook",
                "BOLTWORK_SERVER__PUBLIC_URL": "http://shop.example.org",
            },
            "server.public_url",
        ),
        ({"BOLTWORK_NOSTR__SECRET_KEY": "ab" * 32}, "nostr.relays"),
        ({"BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:8402"}, "operator.listen"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(environ, path):
    assert path in faults(environ=environ)


def test_no_secret_is_printed():
    secret_keys = {key.variable: "ab" * 32 for key in all_keys(Config) if "Secret" in repr(key)}
    address = "postgresql://user:abababab@host/db"
    relays = {"BOLTWORK_NOSTR__RELAYS": '["wss://relay.example"]'}

    config = load(EMPTY, secret_keys | relays | {"BOLTWORK_DATABASE__URL": address})

    assert len(secret_keys) == 8
    assert "abab" not in repr(config)
    assert "abab" not in config.model_dump_json()
    assert sorted(set(secrets_of(config))) == ["abababab", "ab" * 32, address]


def test_the_defaults_hold_no_secret():
    assert list(secrets_of(Config())) == []


def test_the_example_loads_to_the_defaults():
    assert load(EXAMPLE, {}) == Config()


def test_the_example_lists_every_key_and_no_other():
    sections = {key.path for key in all_keys(Config)}
    keys = {".".join(key) for key in sections if not any(o[:-1] == key for o in sections)}
    keys = keys - {"models"} | {f"models.{name}" for name in ModelSettings.model_fields}

    assert leaves(tomllib.loads(EXAMPLE.read_text())) == keys


def test_the_example_says_something_about_every_key():
    lines = [line for line in EXAMPLE.read_text().splitlines() if re.match(r"\w+ = ", line)]

    assert len(lines) == len(leaves(tomllib.loads(EXAMPLE.read_text())))
    assert [line for line in lines if not re.search(r" # \S+ \S+", line)] == []
