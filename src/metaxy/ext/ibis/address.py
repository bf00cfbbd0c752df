"""The address of a database: a URL, or the name of an Ibis backend with parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from metaxy.errors import InvalidConfigError
from metaxy.masking import Secrets, mask, mask_option

# What URLs say, and what Ibis calls it.
SCHEMES = {"postgresql": "postgres", "clickhouses": "clickhouse", "md": "duckdb", "mariadb": "mysql"}


@dataclass(frozen=True, repr=False)
class Address:
    """A database: the URL wins over backend and parameters."""

    url: str | None = None
    backend: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the Ibis backend.

        Raises:
            InvalidConfigError: if nothing says which it is.

        >>> Address("postgresql+psycopg://host/db").name
        'postgres'
        """
        if self.url is not None and "://" in self.url:
            scheme = urlsplit(self.url).scheme.partition("+")[0]
            return SCHEMES.get(scheme, scheme)
        if self.backend:
            return SCHEMES.get(self.backend, self.backend)
        if self.url is not None:
            raise InvalidConfigError("connection_string must be a URL, such as postgresql://user@host/database")
        raise InvalidConfigError("give connection_string (a URL), or backend with connection_params")

    @property
    def secrets(self) -> Secrets:
        """What must not be shown of it."""
        return Secrets.of({"connection_string": self.url, **self.parameters})

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        if self.url is not None:
            return mask_option("connection_string", self.url)
        shown = ", ".join(f"{name}={value}" for name, value in mask(dict(self.parameters)).items())
        return f"{self.name}({shown})"
