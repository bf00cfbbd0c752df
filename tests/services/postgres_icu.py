"""The PostgreSQL server whose databases order text as people do; the wheel has no ICU, the packages of Linux have."""

from functools import partial

from tests.services.postgres import server
from tests.services.running import serve

if __name__ == "__main__":
    serve(lambda folder: partial(server, folder)("--locale-provider=icu", "--icu-locale=en-US"))
