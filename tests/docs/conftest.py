"""What reads the code for the site needs the group docs, which `make test` does not install."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("griffe") else ["docstrings.py"]
