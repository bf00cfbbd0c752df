"""No secret of a store's configuration comes out again, wherever it was put, and however it is misspelt."""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import duckdb
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from metaxy.config import MetaxyConfig, PluginConfig, StoreConfig
from metaxy.config.entries import without_none
from metaxy.errors import MetaxyError
from metaxy.ext.ibis.address import Address
from metaxy.masking import Secrets, hide_in, is_harmless, is_secret, mask, mask_address, mask_text
from metaxy.service.project import masked
from metaxy.service.stores import store_of as listed
from metaxy.store.fallback import FallbackStoreList
from metaxy.testing import TempMetaxyProject

ODD: Final = " /:@?#&;='\"\\%+$,{}()[]<>|^~!*\tüñ日"
PLACES: Final = ("h", "h:5432/db", "h/db", "h/db?sslmode=require", "127.0.0.1:1/x/y.duckdb", "h1:1,h2:2/db#x")
SCHEMES: Final = ("postgresql", "postgresql+psycopg", "clickhouse", "mysql", "https", "s3", "ftp", "duckdb", "other")
NAMES: Final = (
    *("password", "pasword", "passwd", "PGPASSWORD", "pwd", "token", "tokn", "motherduck_token", "sas", "account_sas"),
    *("bearer", "Authorization", "AWS_SECRET_ACCESS_KEY", "awsSecretKey", "s3.secret-access-key", "sig", "apiKey"),
    *("nonce", "x", "credentials", "private", "connection_strin", "what_is_this", "client_secret", "auth", "pin"),
)


class Put:
    """A secret, and where it is."""

    def __init__(self, secret: tuple[str, str, str], options: dict[str, Any]) -> None:
        self.parts = (secret[0], secret[2])
        self.options = options

    def __repr__(self) -> str:
        return repr(self.options)

    def leaks(self, text: str) -> list[str]:
        return [part for part in self.parts if part.lower() in text.lower()]


# Two words that nothing else has, and between them what addresses, quotation and escapes may stumble over.
WORDS: Final = st.text("qxzjQXZJ", min_size=6, max_size=9)
secrets = st.tuples(WORDS, st.text(ODD, max_size=3), WORDS)
names = st.sampled_from(NAMES)
users = st.sampled_from(("me", "", "first.last", "Administrator"))


def urls(secret: str) -> st.SearchStrategy[str]:
    word = st.sampled_from((secret, quote(secret, safe=""), quote(secret)))
    plain = st.builds("{}://{}:{}@{}".format, st.sampled_from(SCHEMES), users, word, st.sampled_from(PLACES))
    tokens = st.builds("https://{}@{}".format, word, st.sampled_from(PLACES))
    query = st.sampled_from(("postgresql://h/db?a=b&{}={}", "md:lake?{}={}", "https://h/x?{}={}", "s3://b/c?{}={}#x"))
    parameters = st.builds(lambda form, name, word: form.format(name, word), query, names, word)
    jdbc = st.builds("jdbc:sqlserver://h:1433;databaseName=d;{}={};user=me".format, names, word)
    return plain | tokens | parameters | jdbc


def connection_strings(secret: str) -> st.SearchStrategy[str]:
    escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
    doubled = "'{}'".format(secret.replace("'", "''"))
    braces = "{{{}}}".format(secret.replace("}", "}}"))
    word = st.sampled_from((f"'{escaped}'", doubled, f'"{secret}"', braces, secret))
    forms = st.sampled_from(
        ("host=h {}={} dbname=d", "{}={}", "Driver={{X}};Server=h;{}={};UID=me", "{} = {} host = h")
    )
    dsn = st.builds(lambda form, name, word: form.format(name, word), forms, names, word)
    attached = st.builds("ducklake:postgres:{}".format, dsn)
    others = st.sampled_from((f"me:{secret}@h:3306/db", f"me:{secret}@tcp(h:1)/db"))
    return dsn | attached | others | urls(secret)


def options(secret: str) -> st.SearchStrategy[dict[str, Any]]:
    """Say where a secret may be among the options of a store."""
    bare = st.builds(lambda name: {name: secret}, names)
    listed = st.builds(lambda name: {name: [1, secret, {"deep": secret}]}, names)
    address = st.sampled_from(("connection_string", "dsn", "uri", "url", "database", "root_path", "warehouse"))
    addresses = st.builds(lambda name, text: {name: text}, address, connection_strings(secret))
    addresses |= st.just({"connection_string": f"scott/{secret}@h:1521/x"})  # elsewhere this is a path
    leaf = bare | listed | addresses
    outer = st.sampled_from(("storage_options", "connection_params", "config", "catalog_properties", "secret", "odd"))
    return leaf | st.builds(lambda name, inner: {name: {"region": "eu", **inner}}, outer, leaf)


puts = secrets.flatmap(lambda secret: options("".join(secret)).map(lambda given: Put(secret, given)))
TYPES: Final = (
    "metaxy.ext.duckdb.DuckDBMetadataStore",
    "metaxy.ext.sqlite.SQLiteMetadataStore",
    "metaxy.ext.delta.DeltaMetadataStore",
    "metaxy.ext.iceberg.IcebergMetadataStore",
    "metaxy.ext.lancedb.LanceDBMetadataStore",
    "metaxy.ext.postgresql.PostgreSQLMetadataStore",
    "metaxy.ext.clickhouse.ClickHouseMetadataStore",
    "metaxy.ext.ibis.IbisMetadataStore",
    "metaxy.ext.nosuch.Store",
)
PLACE_OF: Final = {"DuckDB": "database", "SQLite": "database", "Delta": "root_path", "Iceberg": "warehouse"}


@given(put=puts, kind=st.sampled_from(TYPES))
def test_nothing_shows_a_secret(put: Put, kind: str) -> None:
    place = next((name for start, name in PLACE_OF.items() if start in kind), "uri" if "Lance" in kind else None)
    given = ({place: "x"} if place else {}) | put.options
    entry = StoreConfig(type=kind, config=given)
    config = MetaxyConfig(stores={"dev": entry}, ext={"x": PluginConfig.model_validate(put.options)})
    shown: list[Any] = [config, entry, mask(given), masked(config), tomli_w.dumps(without_none(masked(config)))]
    shown += [Address(str(given.get("connection_string")), "duckdb", given), Secrets.of(given)]
    with config.use():
        shown.append(listed(config, "dev"))
        try:
            shown.append(entry.type_cls.config_model()(**given))
        except Exception as error:  # pydantic's own, whose text is shown by whoever does not catch it
            shown.append(str(error))
        try:
            store = config.get_store("dev")
            shown += [store, store.display(), store.get_store_info("a"), FallbackStoreList([store, "b"], config=config)]
        except MetaxyError as error:
            shown.append("".join(traceback.format_exception(error)))
    for each in shown:
        assert not put.leaks(str(each)), each
        assert not put.leaks(repr(each)), each


@given(put=puts, form=st.sampled_from((str, repr, quote, lambda text: text.replace("'", "''"))))
def test_messages_of_libraries_show_no_secret(put: Put, form: Callable[[str], str]) -> None:
    """A library may put what it was given into its messages: all of it, or its parts."""
    secret = next(text for text in _texts(put.options) if put.parts[0] in text)
    for text in (form(secret), str(put.options), json.dumps(put.options)):
        assert not put.leaks(Secrets.of(put.options).hide(f"cannot open {text} now")), text
    error = ValueError(f"cannot open {form(secret)}")
    error.__cause__ = KeyError(form(secret))
    shown = traceback.format_exception(hide_in(error, Secrets.of(put.options).hide))
    assert not put.leaks("".join(shown))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else [str(value)]


# -- commands, and stores that are opened ------------------------------------------------------------------------------

SECRET: Final = "Qxzj/7 @qzXj"
ENCODED: Final = quote(SECRET, safe="")
NOWHERE: Final = {"host": "127.0.0.1", "port": 1, "user": "me", "database": "d"}  # nothing listens there
DUCKDB, DELTA = TYPES[0], TYPES[2]
STORES: Final[dict[str, dict[str, Any]]] = {
    "raw": {"type": TYPES[5], "connection_string": f"postgresql://me:{SECRET}@127.0.0.1:1/d"},
    "encoded": {"type": TYPES[5], "connection_string": f"postgresql://me:{ENCODED}@127.0.0.1:1/d"},
    "parameters": {"type": TYPES[5], "connection_params": {**NOWHERE, "password": SECRET}},
    "clickhouse": {"type": TYPES[6], "connection_params": {**NOWHERE, "password": SECRET}},
    "clickhouse_url": {"type": TYPES[6], "connection_string": f"clickhouse://me:{ENCODED}@127.0.0.1:1/d"},
    "ibis": {"type": TYPES[7], "backend": "mysql", "connection_params": {"host": "h", "pasword": SECRET}},
    "dsn": {"type": TYPES[7], "connection_string": f"host=h password='{SECRET}' dbname=d"},
    "setting": {"type": DUCKDB, "database": ":memory:", "config": {"s3_secret_access_ky": SECRET}},
    "statement": {
        "type": DUCKDB,
        "database": "x.duckdb",
        "extensions": [{"name": "json", "init_sql": [f"CREATE SECRET (TYPE nope, SECRET '{SECRET}')"]}],
    },
    "lake": {
        "type": DUCKDB,
        "database": ":memory:",
        "ducklake": {
            "catalog": {"type": "postgres", "secret_name": "s", **NOWHERE, "password": SECRET},
            "storage": {"type": "local", "path": "lake"},
        },
    },
    "remote": {"type": DUCKDB, "database": f"https://u:{ENCODED}@127.0.0.1:1/x.duckdb"},
    "missing": {"type": DUCKDB, "database": f"postgres:dbname=d host=127.0.0.1 port=1 password='{SECRET}'"},
    "options": {"type": DELTA, "root_path": "lake", "storage_options": {"account_sas": SECRET, "bearer": SECRET}},
    "misspelt": {"type": DELTA, "root_path": "lake", "storage_optons": {"bearer": SECRET}},
    "number": {"type": DUCKDB, "database": {"nonce": SECRET}, "config": {"x": [SECRET]}},
    "mysql": {"type": TYPES[7], "connection_string": f"mysql://me:{SECRET}@127.0.0.1:1/d"},
    "unknown": {"type": "no.such.Store", "nonce": SECRET, "hosts": [{"region": "eu", "key": SECRET}]},
    "fallback": {"type": DELTA, "root_path": "lake", "fallback_stores": [f"postgresql://me:{SECRET}@h/d"]},
}


def shows(text: str) -> list[str]:
    return [part for part in ("Qxzj", "qzXj") if part in text]


def test_no_command_shows_a_secret(tmp_path: Path) -> None:
    plugin = {"enable": True, "webhook": f"https://h/{SECRET}", "pasword": SECRET, "color": "red"}
    project = TempMetaxyProject(tmp_path, stores=STORES, ext={"x": plugin})
    outputs = [
        project.run_cli([*command.split(), *option], check=False)
        for command, option in (
            *((command, ["-f", kind]) for command in ("config print",) for kind in ("toml", "json")),
            *((command, ["-f", kind]) for command in ("list stores", "doctor") for kind in ("plain", "json")),
            *(("history --debug", ["--store", name]) for name in STORES),
            ("history", ["--store", f"postgresql://me:{SECRET}@h/d"]),
        )
    ]
    for result in outputs:
        assert not shows(result.stdout + result.stderr), result
    listed = outputs[2].stdout
    assert "PostgreSQLMetadataStore(connection_string=postgresql://me:***@127.0.0.1:1/d)" in listed
    assert "127.0.0.1" in outputs[4].stdout  # what doctor says of stores that cannot be reached
    assert set(outputs[4].stdout.split()) >= STORES.keys()


@pytest.mark.parametrize("name", sorted(STORES))
def test_opening_a_store_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    config = MetaxyConfig(stores={name: StoreConfig.model_validate(STORES[name])})
    with config.use():
        try:
            store = config.get_store(name)
            shown = [repr(store), str(store.get_store_info("a"))]
            with store.open("w"):
                shown.append(repr(store.storage))
            store.__enter__().read("a")
        except (MetaxyError, duckdb.Error) as error:
            shown = ["".join(traceback.format_exception(error))]
    assert not shows("".join(shown)), shown


# -- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me@host:5432/db?sslmode=require", None),
        ("postgresql://[::1]:5432,h2:1/db", None),
        ("s3://bucket/features@2024/x=1", None),
        ("abfss://container@account.dfs.core.windows.net/x@y", None),
        ("/home/me@corp/x=1/a.duckdb", None),
        ("C:\\me@corp\\a.duckdb", None),
        ("sqlite:////data/a@b.db", None),
        ("md:lake", None),
        (":memory:", None),
        ("data/ü x/a.duckdb", None),
        ("dbname=d host=h user=me sslmode='verify-full'", None),
        ("Driver={ODBC 18};Server=tcp:x,1433;UID=me;PWD={a;b}", "Driver={ODBC 18};Server=tcp:x,1433;UID=me;PWD=***"),
        ("postgresql://me:pa ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:pa/ss@host/db", "postgresql://***"),
        ("postgresql://me:a@b@host/db", "postgresql://me:***@host/db"),
        ("https://token@host/x?sv=1&region=eu", "https://***@host/x?sv=***&region=eu"),
        ("host=h password=two words", "***"),
        ("ducklake:postgres:host=h password='it''s'", "ducklake:postgres:host=h password=***"),
    ],
)  # fmt: skip
def test_addresses_keep_what_is_certain(address: str, shown: str | None) -> None:
    assert mask_address(address) == (shown or address)


def test_names_decide() -> None:
    harmless = "region s3.endpoint AWS_REGION database lock_timeout secret_name tenant_id use_path_style"
    assert [name for name in harmless.split() if not is_harmless(name)] == []
    assert [name for name in NAMES if is_harmless(name)] == []
    obvious = "password PGPASSWORD pasword passwrd account_sas bearer awsSecretKey tokn sig client_secret api-key"
    assert [name for name in obvious.split() if not is_secret(name)] == []
    assert mask({"a": {"region": "eu", "nonce": "x", "flag": True, "n": 1, "none": None}}) == {
        "a": {"region": "eu", "nonce": "***", "flag": True, "n": "***", "none": None}
    }


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("see https://docs.example.com/page for x=1, me@example.com", None),
        ("feature video: 3 rows of 4 are stale; give --yes", None),
        ("cannot open 'postgresql://me:pa ss@host/db': no", "cannot open 'postgresql://***@host/db': no"),
        ('{"token": "abc", "region": "eu"}', '{"token": ***, "region": "eu"}'),
        ("--password=abc Authorization: Bearer abcdefgh", "--password=*** Authorization: Bearer ***"),
    ],
)
def test_messages_keep_the_rest(message: str, shown: str | None) -> None:
    assert mask_text(message) == (shown or message)


def test_short_secrets_hide_only_whole_words() -> None:
    assert Secrets.of({"password": "a"}).hide("an a, a: banana") == "an ***, ***: banana"
    assert Secrets.of({"threads": "4", "n": "4", "flag": "true"}).hide("4 true") == "4 true"


def test_documents_are_hidden_where_a_path_to_them_may_stand() -> None:
    key = '{"type": "service_account", "private_key": "-----BEGIN"}'
    documents = (key, f"\n {key}", f"[{key}]", "-----BEGIN PRIVATE KEY-----\nabc")
    assert [text for text in documents if mask(text, "google_service_account") != "***"] == []
    assert mask("/keys/lake.json", "google_service_account") == "/keys/lake.json"
