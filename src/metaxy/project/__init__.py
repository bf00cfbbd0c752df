"""Loading of features: from modules, installed packages, environment variables."""
