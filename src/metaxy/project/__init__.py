"""Where features come from: modules, installed packages, environment variables."""
