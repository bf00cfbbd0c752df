collect_ignore = ["user_code.py", "wrong_code.py"]  # read by type checkers, never imported
