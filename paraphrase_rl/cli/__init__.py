"""The command line. Each command has one file, imported when the command is called."""
