"""What the peers compute for a sample; how often is counted, as that is what they are there to avoid."""

calls = 0


def value(audio: str, frames: str) -> int:
    """Stand for something that takes a GPU."""
    global calls
    calls += 1
    return len(audio) + len(frames)
