"""Hide secrets in what people read: representations, messages, listings.

What is shown is chosen, not what is hidden: an option is shown if its name says that it is harmless, a part of an
address if it is certain where the part ends. All else is hidden, so a misspelt name or a broken address shows nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from metaxy.wording import short_path

HIDDEN: Final = "***"
Error = TypeVar("Error", bound=BaseException)

# -- names -------------------------------------------------------------------------------------------------------------

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_PART: Final = re.compile(
    r"passw|passphrase|pwd|token|secret|credential|authorization|signature|apikey", re.IGNORECASE
)
_SECRET_WORDS: Final = frozenset(
    {"auth", "bearer", "cookie", "jwt", "key", "keys", "pass", "pat", "pin", "pw", "sas", "sig", "private"}
)
_OFTEN_MISSPELT: Final = ("authorization", "credential", "passphrase", "password", "secret", "signature", "token")
# An option is shown if its last word is one of these, as in `aws_region`, `s3.endpoint` and `connectTimeout`.
_HARMLESS: Final = frozenset(
    {
        *("account", "address", "algorithm", "alias", "attempts", "backend", "bucket", "catalog", "class"),
        *("container", "count", "database", "databases", "db", "dbname", "default", "delay", "dialect", "dir"),
        *("directory", "driver", "dsn", "encoding", "endpoint", "engine", "evolution", "extensions", "fallbacks"),
        *("folder", "format", "host", "hostaddr", "hostname", "hosts", "id", "impl", "interval", "layout", "length"),
        *("level", "limit", "location", "mapping", "max", "memory", "min", "mode", "name", "namespace", "path"),
        *("port", "prefix", "project", "protocol", "region", "repository", "retries", "root", "rows", "schema"),
        *("scheme", "scope", "server", "service", "size", "ssl", "sslmode", "store", "stores", "string", "style"),
        *("suffix", "table", "threads", "timeout", "timezone", "type", "uid", "uri", "url", "user", "username"),
        *("version", "warehouse", "worker", "workers", "zone"),
    }
)


def _words(name: str) -> list[str]:
    """Split a name into its words.

    >>> _words("AWS_SecretAccessKey"), _words("s3.access-key-id")
    (['aws', 'secret', 'access', 'key'], ['s', '3', 'access', 'key', 'id'])
    """
    return [word.lower() for word in _WORDS.findall(name)]


def is_secret(name: str) -> bool:
    """Return whether the name of an option says that it is secret, perhaps misspelt.

    >>> is_secret("aws_secret_access_key"), is_secret("account_sas"), is_secret("pasword"), is_secret("database")
    (True, True, True, False)
    """
    words = _words(name)
    return words[-1:] != ["name"] and (  # databases keep secrets under names, which are none
        bool(_SECRET_PART.search(name))
        or not _SECRET_WORDS.isdisjoint(words)
        or any(len(word) > 3 and get_close_matches(word, _OFTEN_MISSPELT, n=1, cutoff=0.8) for word in words)
    )


def is_harmless(name: str) -> bool:
    """Return whether the name of an option says that it may be shown.

    >>> is_harmless("s3.endpoint"), is_harmless("aws_session_tokn"), is_harmless("nonce")
    (True, False, False)
    """
    words = _words(name)
    return bool(words) and words[-1] in _HARMLESS and not is_secret(name)


LONG: Final = 6  # characters of a value that may be secret though its name does not say so, and is hidden in messages

# -- addresses ---------------------------------------------------------------------------------------------------------

# Schemes whose addresses name a user before the password; in others, what stands there may be a key or a token.
_WITH_USERS: Final = frozenset(
    {
        *("clickhouse", "clickhouses", "mariadb", "mongodb", "mssql", "mysql", "oracle", "postgres", "postgresql"),
        *("redshift", "snowflake", "sqlserver", "trino"),
    }
)
# Schemes of places that have no users, so that an @ may belong to a path, or follow a container.
_PLACES: Final = frozenset(
    {
        *("abfs", "abfss", "adl", "az", "chdb", "duckdb", "file", "gcs", "gs", "hdfs", "hf", "lance", "md", "memory"),
        *("r2", "s3", "s3a", "s3n", "sqlite", "wasb", "wasbs"),
    }
)
_INNER: Final = "|".join(sorted(_WITH_USERS | _PLACES | {"ducklake", "jdbc", "motherduck"}))
_SCHEMES: Final = re.compile(rf"((?:(?:{_INNER}):(?!//))*)([A-Za-z][\w+.-]*://)?(.*)", re.DOTALL | re.IGNORECASE)
_HOSTS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^:,@\[\]=\s]*)(?::\d{0,5})?(?:,(?:[^:,@=\s]*)(?::\d{0,5})?)*")
_ROOTED: Final = re.compile(r"[/\\.~:]|[A-Za-z]:[/\\]")
_PLAIN: Final = re.compile(r"(?!.*://)[^@=;&?#'\"]*", re.DOTALL)
_DOCUMENT: Final = re.compile(r"\s*(?:\[?\s*\{|-----BEGIN)")  # such as the key of a service, for the path to it
_PARAMETER: Final = re.compile(r"([^/=]+)=([^/]*)")
_QUOTED: Final = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|\{[^}]*\}"
_NAME: Final = r"[A-Za-z_][\w.-]*"
_DSN_START: Final = re.compile(rf"\s*{_NAME}(?: \w+)?\s*=")
_SPACED: Final = re.compile(rf"(\s*)({_NAME})(\s*=\s*)({_QUOTED}|(?:[^\s'\"\\{{}};]|\\.)*)(?=\s|\Z)", re.DOTALL)
_WITH_SEMICOLONS: Final = re.compile(
    rf"(\s*)({_NAME}(?: (?i:id|source|catalog|security))?)(\s*=\s*)({_QUOTED}|[^;'\"{{}}]*)(\s*(?:;|\Z))"
)


@dataclass
class _Address:
    """An address as it is shown, and what of it is not."""

    shown: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> "_Address":
        address = cls()
        address._read(text)
        return address

    def __str__(self) -> str:
        return "".join(self.shown)

    def _show(self, text: str) -> None:
        self.shown.append(text)

    def _hide(self, text: str, *parts: str) -> None:
        if text:
            self.shown.append(HIDDEN)
            self.secrets += [text, *parts]

    def _read(self, text: str) -> None:
        outer, scheme, rest = _SCHEMES.fullmatch(text).groups(default="")  # type: ignore[union-attr]  # it fits all
        self._show(outer + scheme)
        if scheme:
            self._read_url(scheme.partition(":")[0].partition("+")[0].lower(), rest)
        elif _DSN_START.match(rest):
            self._read_dsn(rest)
        else:
            self._read_path(rest, is_place=bool(outer) or _is_path(rest))

    # -- scheme://user:password@host/path?name=value -------------------------------------------------------------------

    def _read_url(self, scheme: str, text: str) -> None:
        authority, tail = _split(text, "/\\?#;")
        if "@" in tail and (":" in authority or scheme not in _PLACES):
            self._hide(text, *_passwords(text))  # nobody can tell where the password ends
            return
        user, at, host = authority.rpartition("@")
        if at:
            self._read_user(scheme, user)
            self._show(at)
        (self._show if _HOSTS.fullmatch(host) else self._hide)(host)
        self._read_tail(tail)

    def _read_user(self, scheme: str, text: str) -> None:
        name, colon, word = text.partition(":")
        if scheme in _WITH_USERS or (scheme in _PLACES and not colon):
            self._show(name + colon)
            self._hide(word)
        else:
            self._hide(text, word or name, *([name] if len(name) >= LONG else []))

    def _read_tail(self, text: str) -> None:
        path, parameters = _split(text, "?#;")
        end = 0
        for found in _PARAMETER.finditer(path):
            if is_secret(found[1]):
                self._show(path[end : found.start(2)])
                self._hide(found[2])
                end = found.end()
        self._show(path[end:])
        for sign, name, equals, value in re.findall(r"([?&;#])([^?&;#=]*)(=?)([^?&;#]*)", parameters):
            self._show(sign)
            if equals:
                self._show(name + equals)
                self._read_value(name, value)
            else:
                self._hide(name)

    def _read_value(self, name: str, value: str) -> None:
        plain = value[1:-1] if value[:1] in ("'", '"', "{") else value
        if is_harmless(name) and _PLAIN.fullmatch(plain):
            self._show(value)
        elif value:
            self._show(HIDDEN)
            self.secrets += [plain] if is_secret(name) or len(plain) >= LONG else []

    # -- name=value name='a value'; and paths --------------------------------------------------------------------------

    def _read_dsn(self, text: str) -> None:
        pieces = list((_WITH_SEMICOLONS if ";" in text else _SPACED).finditer(text))
        if "".join(piece[0] for piece in pieces).rstrip() != text.rstrip():
            self._hide(text, *_given(text))
            return
        for piece in pieces:
            before, name, equals, value, *after = piece.groups()
            is_known = is_harmless(name) or is_secret(name)  # else it may be a part of what was not quoted
            self._show(before + name + equals if is_known else before)
            self._read_value(name, value)
            self._show("".join(after))

    def _read_path(self, text: str, *, is_place: bool) -> None:
        head, tail = _split(text, "?#;")
        if "@" in tail and ("@" in head or not is_place):
            self._hide(text, *_passwords(text))
        elif "@" in head and not is_place:
            before, at, after = head.rpartition("@")
            self._hide(before, *re.split(r"[:/]", before))
            self._show(at)
            self._read_tail(after + tail)
        else:
            self._read_tail(text)


def _is_path(text: str) -> bool:
    """Return whether a text is a path for certain: without a colon before an @, but for that of a drive."""
    return bool(_ROOTED.match(text)) and ":" not in text[2:].rpartition("@")[0]


def _split(text: str, signs: str) -> tuple[str, str]:
    """Split before the first of some signs."""
    end = next((place for place, sign in enumerate(text) if sign in signs), len(text))
    return text[:end], text[end:]


def _passwords(text: str) -> Iterator[str]:
    """Yield what the password of an address may be that cannot be split for certain."""
    start = text.find(":") + 1
    ends = [place for place, sign in enumerate(text) if sign == "@"]
    for word in (text[start:end] for end in ends if end > start):
        yield word
        yield from (part for part in re.split(r"[/?#@:&;=\s]", word) if len(part) > 2)  # such as "no port: '…'"
    yield from _given(text)


def _given(text: str) -> Iterator[str]:
    """Yield what a text that cannot be split for certain may give as secrets."""
    for name, value in re.findall(rf"({_NAME})\s*=\s*(.*?)(?=[\s&;?#]+{_NAME}\s*=|\Z)", text, re.DOTALL):
        if is_secret(name):
            yield from (value, value.strip("'\"{}"))


def mask_address(text: str) -> str:
    """Return an address without its secrets: a URL, a path, or the parameters of a connection.

    >>> mask_address("postgresql://me:hunter2@host/db?sslmode=on&token=abc")
    'postgresql://me:***@host/db?sslmode=on&token=***'
    >>> mask_address("host=db password='hunter 2' user=me"), mask_address("https://me:hunter2@host/x.duckdb")
    ('host=db password=*** user=me', 'https://***@host/x.duckdb')
    >>> mask_address("postgresql://me:hunter/2@host/db")
    'postgresql://***'
    """
    return str(_Address.of(text))


def mask_path(path: str) -> str:
    """Return a path without its secrets; below the working folder it may be an address that was taken for a path.

    >>> import os
    >>> mask_path("/data/lake"), mask_path(f"{os.getcwd()}/host=db password=hunter2")
    ('/data/lake', 'host=db password=***')
    """
    given = short_path(path)
    shown = mask_address(given)
    return mask_address(path) if shown == given else shown


# -- options -----------------------------------------------------------------------------------------------------------


def mask(value: Any, name: str = "") -> Any:
    """Return a copy of options in which secrets are hidden, and whatever may be one.

    >>> mask({"database": "a.db", "options": {"pasword": "hunter2", "region": "eu"}, "read_only": True})
    {'database': 'a.db', 'options': {'pasword': '***', 'region': 'eu'}, 'read_only': True}
    """
    if value is None or isinstance(value, bool):
        return value
    if is_secret(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: mask(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(item, name) for item in value]
    if isinstance(value, (int, float)) and is_harmless(name):
        return value
    return mask_option(name, str(value))


def mask_option(name: str, text: str) -> str:
    """Return the text of an option, if it may be shown.

    >>> mask_option("connection_string", "hunter2"), mask_option("nonce", "hunter2"), mask_option("region", "eu")
    ('***', '***', 'eu')
    """
    return mask_address(text) if _is_shown(name, text) else HIDDEN


def _is_shown(name: str, text: str) -> bool:
    """Return whether parts of an option are shown; a connection string that is none may be anything."""
    is_connection = _words(name)[-1:] in (["string"], ["dsn"])
    may_be_anything = is_connection and "://" not in text and not _DSN_START.match(text)
    return is_harmless(name) and not may_be_anything and not _DOCUMENT.match(text)


def _secrets(value: Any, name: str, hidden: bool) -> Iterator[str]:
    """Yield what `mask` hides."""
    hidden = hidden or is_secret(name)
    if isinstance(value, Mapping):
        yield from (text for key, item in value.items() for text in _secrets(item, str(key), hidden))
    elif isinstance(value, (list, tuple)):
        yield from (text for item in value for text in _secrets(item, name, hidden))
    elif value is not None and not isinstance(value, bool):
        text = str(value)
        if hidden or (not _is_shown(name, text) and len(text) >= LONG):
            yield from (text, *(quoted[1:-1] for quoted in re.findall(_QUOTED, text)))  # such as of SQL
        if isinstance(value, str):
            yield from _Address.of(text).secrets


# -- messages ----------------------------------------------------------------------------------------------------------

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*$")
_ADDRESS: Final = re.compile(r"[^\s\"'<>`]*")
_ASSIGNED: Final = re.compile(
    rf"(?<![\w.-])(?P<name>[\w.-]+)(?P<equals>[\"']?\s*=\s*|[\"']\s*:\s*)(?P<value>{_QUOTED}|[^\s&;,'\")\]}}]+)",
    re.DOTALL,
)
_SCHEMED: Final = re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]{6,}", re.IGNORECASE)


def mask_text(text: str) -> str:
    """Hide in a message what looks like a secret: passwords in addresses, parameters of secret names.

    >>> mask_text("cannot open postgresql://me:hunter2@host/db: password='hunter 2' is wrong")
    'cannot open postgresql://me:***@host/db: password=*** is wrong'
    """
    lines = (_without_addresses(line) for line in text.split("\n"))
    text = _ASSIGNED.sub(_without_value, "\n".join(lines))
    return _SCHEMED.sub(lambda found: f"{found[1]} {HIDDEN}", text)


def _without_value(found: "re.Match[str]") -> str:
    shown = not is_secret(found["name"])
    return found[0] if shown else f"{found['name']}{found['equals']}{HIDDEN}"


def _without_addresses(line: str) -> str:
    shown, end = "", 0
    while (place := line.find("://", end)) >= 0:
        scheme, stop = _SCHEME.search(line[end:place]), _ADDRESS.match(line, place + 3).end()  # type: ignore[union-attr]  # it fits anything
        start = end + scheme.start() if scheme else place
        authority = _split(line[place + 3 : stop], "/\\?#;")[0]
        if "@" not in line[place:stop] and "@" in line[stop:] and not _HOSTS.fullmatch(authority):
            stop = line.rindex("@")  # the password has a blank or a quotation mark
            masked = f"{line[start:place]}://{HIDDEN}"
        else:
            stop -= len(line[place + 3 : stop]) - len(line[place + 3 : stop].rstrip(".,:;!)]"))
            masked = mask_address(line[start:stop])
        shown += line[end:start] + masked
        end = stop
    return shown + line[end:]


@dataclass(frozen=True)
class Secrets:
    """The secrets of some options, which must not appear in messages of whatever library is given them."""

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Any) -> "Secrets":
        """Find the secrets of options, as `mask` does."""
        return cls(tuple(dict.fromkeys(text for text in _secrets(options, "", hidden=False) if text.strip())))

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)})"

    def hide(self, text: str) -> str:
        """Return a message of a library without the secrets, and without what looks like one."""
        return mask_text(self.hide_values(text))

    def hide_values(self, text: str) -> str:
        """Return a message of ours without the secrets.

        >>> Secrets.of({"aws_secret_access_key": "hunter2", "region": "eu"}).hide_values("no hunter2 in eu, my key = 3")
        'no *** in eu, my key = 3'
        """
        for pattern in self._patterns:
            text = pattern.sub(HIDDEN, text)
        return text

    @cached_property
    def _patterns(self) -> tuple["re.Pattern[str]", ...]:
        """The secrets in all forms that messages may have, longest first."""
        values = {form for value in self.values for form in (value, unquote(value)) if form}
        patterns = ((value, "".join(map(_any_form, value))) for value in sorted(values, key=len, reverse=True))
        return tuple(re.compile(p if len(value) >= LONG else rf"(?<!\w){p}(?!\w)") for value, p in patterns)


def _any_form(letter: str) -> str:
    """Return a pattern for a letter of a secret as messages may have it: encoded for addresses, escaped, doubled."""
    if letter.isascii() and letter.isalnum():
        return letter
    encoded = "".join(f"%(?:25)*{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))
    escaped = letter.encode("unicode_escape").decode().lstrip("\\") or letter
    blank = r"|\+" if letter == " " else ""
    forms = rf"(?i:{encoded})|\\+(?:{re.escape(escaped)}|u{ord(letter):04x}){blank}"
    return rf"(?:\\*{re.escape(letter)}{{1,2}}|{forms})"


def hide_in(error: Error, hide: Callable[[str], str]) -> Error:
    """Take secrets out of an error of a library, and out of its causes: tracebacks show their texts as well."""
    seen: BaseException | None = error
    while seen is not None:
        if hide(text := str(seen)) != text:
            seen.args = tuple(hide(each) if isinstance(each, str) else each for each in seen.args)
            if hide(text := str(seen)) != text:
                seen.args = (hide(text),)
        seen = seen.__cause__ or seen.__context__
    return error
