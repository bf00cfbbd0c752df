"""The command line: one module per command or group of commands; they parse and print, and leave the work to others."""
