"""The story that `mx demo` tells: small real files, four features, and what is computed again after each change."""
